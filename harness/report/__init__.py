"""An answer → Markdown and charts; renders, never computes."""
