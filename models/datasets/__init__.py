"""Images and labels: readers, normalisation, augmentation."""
