"""DataFrame to DataFrame: sources, ingest, embedding, clustering, selection and resampling."""
