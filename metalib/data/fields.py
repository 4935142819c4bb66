"""Smooth random fields and blur for drawn images, by Fourier series: a wide Gaussian costs as much as a narrow one.

Everything is float32 and periodic.
"""

import numpy as np
from scipy import fft


def smooth_noise(rng, shape, sigma_px):
    """Gaussian random field (H, W) of standard deviation 1: white noise under a Gaussian of sigma_px.

    Its mean is that of the noise, so that it varies the more the larger sigma_px is against the sides.
    """
    # Beyond these waves, so many on a side, a Gaussian of more than a pixel lets less than a thousandth through.
    last = [min(int(0.6 * side / sigma_px) + 1, (side - 1) // 2) for side in shape]
    rows, columns = np.arange(-last[0], last[0] + 1), np.arange(last[1] + 1)
    waves = rng.standard_normal((2, len(rows), len(columns)), np.float32) * _passed((rows, columns), shape, sigma_px)
    waves[..., 0] *= np.sqrt(2)  # of these the inverse takes the mean with their mirror images
    spectrum = np.zeros((shape[0], shape[1] // 2 + 1), np.complex64)
    spectrum[rows, : len(columns)] = waves[0] + 1j * waves[1]
    field = fft.irfft2(spectrum, shape)
    return field / field.std()


def blurred(image, *gaussians):
    """The sum of an image (H, W) under Gaussians, each given as (weight, sigma_px)."""
    height, width = image.shape
    waves = fft.fftfreq(height, 1 / height), fft.rfftfreq(width, 1 / width)
    passed = sum(weight * _passed(waves, image.shape, sigma_px) for weight, sigma_px in gaussians)
    return fft.irfft2(fft.rfft2(image) * passed, image.shape)


def _passed(waves, shape, sigma_px):
    """Share (rows, columns) that a Gaussian lets through of waves, so many on each side of an image."""
    return np.outer(
        *(
            np.exp(-2 * (np.pi * sigma_px * of / side) ** 2).astype(np.float32)
            for of, side in zip(waves, shape, strict=True)
        )
    )
