"""A run in one HTML file that needs no network: what is known of it, and which command finds what is not."""
