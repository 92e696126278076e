"""Run folders → DuckDB; the only user of duckdb."""
