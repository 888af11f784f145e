"""The log folded again into columns: frames, in memory or as Parquet files, with the proof that they are the log's."""
