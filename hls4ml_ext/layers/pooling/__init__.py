"""Maximum and average pooling, local and global."""
