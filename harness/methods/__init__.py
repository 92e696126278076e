"""One file per training method, and a dict."""
