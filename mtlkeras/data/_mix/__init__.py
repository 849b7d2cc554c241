"""Parts of `mtlkeras.data.mix`."""
