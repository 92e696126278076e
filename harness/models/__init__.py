"""Hub id, local path or shape → model and tokenizer."""
