"""Selection of long input before an encoder reads it: BM25, TextRank."""
