"""DICOM images, by pydicom."""
