"""Parameter counts of the papers' networks: a trunk on 224x224x3 images and a 1000-class layer."""

from __future__ import annotations

import math

import keras
import pytest

from mtlkeras.trunks import VGG, AlexNet, GoogLeNet, ResNet

# Counts and shapes do not depend on the backend, and JAX takes long to make so many weights.
pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def zero_kernels(monkeypatch):
    """Drawing 138 million normal numbers takes seconds, and counting needs only shapes."""
    zeros = lambda self, shape, dtype=None, **_: keras.ops.zeros(shape, dtype or "float32")  # noqa: E731
    monkeypatch.setattr(keras.initializers.HeNormal, "__call__", zeros)


def counts(trunk, classes=1000, shape=(224, 224, 3)):
    """Returns the number of trained parameters and of all, moving statistics included."""
    inputs = keras.Input(shape)
    outputs = keras.layers.Dense(classes, kernel_initializer="zeros")(trunk(inputs).vector)
    model = keras.Model(inputs, outputs)
    return sum(math.prod(w.shape) for w in model.trainable_weights), model.count_params()


def test_vgg_16():
    # Simonyan and Zisserman 2015, table 2: "138 million"; torchvision vgg16 and
    # keras.applications.VGG16: 138,357,544.
    assert counts(VGG()) == (138_357_544, 138_357_544)


def test_vgg_19():
    # Table 2: "144 million"; torchvision vgg19: 143,667,240.
    assert counts(VGG(depth=19)) == (143_667_240, 143_667_240)


def test_resnet_18():
    # torchvision resnet18: 11,689,512, which counts trained parameters only.
    assert counts(ResNet())[0] == 11_689_512


def test_resnet_34():
    # torchvision resnet34: 21,797,672.
    assert counts(ResNet(depth=34))[0] == 21_797_672


def test_resnet_50():
    # torchvision resnet50: 25,557,032, which counts trained parameters only.
    assert counts(ResNet(depth=50))[0] == 25_557_032


def test_resnet_50_with_convolution_biases():
    # keras.applications.ResNet50: 25,636,712, its total with the moving statistics. Against
    # torchvision's it has one bias, moving mean and moving variance more for each of the
    # 26,560 channels of its convolutions.
    trained, total = counts(ResNet(depth=50, use_bias=True))
    assert total == 25_636_712 == 25_557_032 + 3 * 26_560
    assert trained == 25_557_032 + 26_560


def test_googlenet_of_the_paper():
    # Without auxiliary classifiers, with biases, 5x5 branch, no batch normalisation: 6,998,552,
    # the count of the Caffe model zoo's bvlc_googlenet. By hand: the sum of
    # (kernel**2 * inputs + 1) * outputs over table 1.
    table = [
        (192, 64, 96, 128, 16, 32, 32),
        (256, 128, 128, 192, 32, 96, 64),
        (480, 192, 96, 208, 16, 48, 64),
        (512, 160, 112, 224, 24, 64, 64),
        (512, 128, 128, 256, 24, 64, 64),
        (512, 112, 144, 288, 32, 64, 64),
        (528, 256, 160, 320, 32, 128, 128),
        (832, 256, 160, 320, 32, 128, 128),
        (832, 384, 192, 384, 48, 128, 128),
    ]
    by_hand = (7 * 7 * 3 + 1) * 64 + (64 + 1) * 64 + (9 * 64 + 1) * 192 + (1024 + 1) * 1000
    for inputs, one, reduce_3, three, reduce_5, five, projection in table:
        by_hand += (inputs + 1) * (one + reduce_3 + reduce_5 + projection)
        by_hand += (9 * reduce_3 + 1) * three + (25 * reduce_5 + 1) * five
    assert counts(GoogLeNet())[0] == by_hand == 6_998_552


def test_googlenet_of_torchvision():
    # torchvision googlenet(aux_logits=False): 6,624,904. It has batch normalisation in place of
    # biases and 3x3 kernels in the 5x5 branch.
    assert counts(GoogLeNet(normalization="batch", branch_kernel=3))[0] == 6_624_904


def test_alexnet_of_the_paper():
    # Krizhevsky et al. 2012, two towers: "60 million"; 60,965,224, as in the Caffe model zoo's
    # bvlc_alexnet.
    convolutions = (
        (121 * 3 + 1) * 96
        + (25 * 48 + 1) * 256
        + (9 * 256 + 1) * 384
        + (9 * 192 + 1) * 384
        + (9 * 192 + 1) * 256
    )
    dense = (6 * 6 * 256 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert counts(AlexNet())[0] == convolutions + dense == 60_965_224


def test_alexnet_of_one_tower():
    # torchvision alexnet: 61,100,840, after Krizhevsky 2014: no groups, fewer channels.
    assert counts(AlexNet(towers=1, normalization=None))[0] == 61_100_840


def test_resnet_20():
    # He et al. 2015, table 6: 0.27M; 269,722 with 10 classes and shortcuts without parameters.
    by_hand = 27 * 16 + 2 * 16 + 6 * (9 * 16 * 16 + 2 * 16)
    by_hand += 9 * 16 * 32 + 5 * 9 * 32 * 32 + 6 * 2 * 32
    by_hand += 9 * 32 * 64 + 5 * 9 * 64 * 64 + 6 * 2 * 64 + (64 + 1) * 10
    assert counts(ResNet(depth=20), classes=10, shape=(32, 32, 3))[0] == by_hand == 269_722


def test_resnet_56():
    # Table 6: 0.85M.
    trained = counts(ResNet(depth=56), classes=10, shape=(32, 32, 3))[0]
    assert int(trained / 1e4) == 85
