"""The nouns that stages share: frozen dataclasses and models, no behaviour beyond reading and writing themselves."""
