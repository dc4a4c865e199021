"""Maps of where a network looks, against functions whose answer is known and a slow statement of the same formula."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from sb3_atari_dqn.networks.saliency import GRID, METHODS, saliency_maps

SIZE = 84


def sum_over(rows: slice, columns: slice, weight: float = 1.0):
    """:return: a function of images that looks at one part of the newest of two frames only"""
    return lambda inputs: [weight * inputs[:, 1, rows, columns].sum((1, 2))]


def noise(height: int = SIZE, width: int = SIZE) -> torch.Tensor:
    return torch.randint(0, 256, (1, 2, height, width), generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("height", "width"), [(84, 84), (36, 36), (60, 150)])
def test_maps_show_where_an_output_looks(method, height, width):
    part = slice(height // 2, height // 2 + height // 6), slice(width // 4, width // 4 + width // 6)
    (found,) = saliency_maps(sum_over(*part), noise(height, width), method, True)
    assert found.shape == (height, width)
    assert found.min() >= 0
    inside = np.zeros((height, width), bool)
    inside[part] = True
    row, column = np.unravel_index(found.argmax(), found.shape)
    reach = height / GRID
    assert part[0].start - reach <= row <= part[0].stop + reach
    assert part[1].start - reach <= column <= part[1].stop + reach
    far = np.ones((height, width), bool)
    far[max(part[0].start - height // 3, 0) : part[0].stop + height // 3] = False
    assert found[far].max(initial=0) < 0.01 * found.max()


def slow_perturbation(outputs, image: np.ndarray) -> np.ndarray:
    """Greydanus et al. 2018, equations 1 to 3, on a grid: one place after the other, with loops of Python."""
    assert image.shape[1:] == (SIZE, SIZE)

    def gaussian(centre: float, deviation: float) -> np.ndarray:
        return np.exp(-((np.arange(SIZE) - centre) ** 2) / (2 * deviation**2))

    kernel = np.array([gaussian(centre, 3) / gaussian(centre, 3).sum() for centre in range(SIZE)])
    blurred = np.stack([kernel @ frame @ kernel.T for frame in image])
    centres = [SIZE / GRID * (k + 0.5) - 0.5 for k in range(GRID)]
    before, scores = outputs(image), np.empty((GRID, GRID))
    for i, row in enumerate(centres):
        for j, column in enumerate(centres):
            mask = np.outer(gaussian(row, 5), gaussian(column, 5))
            scores[i, j] = (outputs(image * (1 - mask) + blurred * mask) - before) ** 2 / 2
    return scores


def test_a_perturbation_is_half_the_squared_change_of_the_output_where_the_image_is_blurred():
    weights = np.random.default_rng(0).normal(size=(2, SIZE, SIZE))

    def outputs(image: np.ndarray) -> float:
        return float(np.tanh((image * weights).sum() / 3e4))

    def same(inputs: torch.Tensor) -> list[torch.Tensor]:
        return [torch.tanh((inputs.double() * torch.from_numpy(weights)).sum((1, 2, 3)) / 3e4)]

    image = noise()
    coarse = torch.from_numpy(slow_perturbation(outputs, image[0].double().numpy()))
    expected = interpolate(coarse[None, None], (SIZE, SIZE), mode="bicubic")[0, 0].clamp(min=0).numpy()
    (found,) = saliency_maps(same, image, "perturbation", True)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_a_flat_image_has_no_perturbation():
    """Brightness stays at the border, too."""
    for value in (0.0, 255.0):
        (found,) = saliency_maps(
            sum_over(slice(None), slice(None)), torch.full((1, 2, 84, 84), value), METHODS[2], True
        )
        assert found.max() < 1e-2


def test_smoothing_keeps_the_amount_inside_and_spreads_it():
    image, part = noise(), (slice(40, 41), slice(40, 41))
    (raw,) = saliency_maps(sum_over(*part, weight=-3.0), image, "gradient", True)
    (smooth,) = saliency_maps(sum_over(*part, weight=-3.0), image, "smooth", True)
    assert (raw.sum(), raw.max()) == (3, 3)
    assert smooth.sum() == pytest.approx(3, abs=1e-3)
    assert smooth.max() == pytest.approx(3 / (2 * np.pi * 2**2), rel=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_are_no_images_have_their_gradient(method):
    (found,) = saliency_maps(
        lambda inputs: [(inputs * torch.tensor([1.0, -2.0])).sum(1)], torch.zeros(1, 2), method, False
    )
    assert found.tolist() == [1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_each_output_has_its_own_map(method):
    left, right = sum_over(slice(30, 40), slice(10, 20)), sum_over(slice(30, 40), slice(60, 70))
    one, other = saliency_maps(lambda inputs: [*left(inputs), *right(inputs)], noise(), method, True)
    assert one[:, :42].sum() > 0.99 * one.sum()
    assert other[:, 42:].sum() > 0.99 * other.sum()
