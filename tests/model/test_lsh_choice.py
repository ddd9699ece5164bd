"""The implementation of LSH attention that is chosen for a device."""

import pytest
import torch

from reformer.model import lsh_choice, lsh_fused, lsh_portable
from reformer.settings import SettingError

CUDA = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _no_choice_is_forced(monkeypatch):
    monkeypatch.delenv(lsh_choice.VARIABLE, raising=False)
    lsh_choice._fault.cache_clear()
    yield
    lsh_choice._fault.cache_clear()


def test_a_cpu_gets_the_fused_kernels_and_other_devices_the_portable_path():
    expected = lsh_fused if lsh_fused.kernels_exist() else lsh_portable
    assert lsh_choice.implementation(torch.ones(1)) is expected
    assert lsh_choice.implementation(torch.ones(1, device="meta")) is lsh_portable


@pytest.mark.parametrize("name", ["portable", "fused", "triton"])
def test_the_environment_forces_one(monkeypatch, name):
    if name == "triton":
        pytest.importorskip("triton")
    monkeypatch.setenv(lsh_choice.VARIABLE, name)
    assert lsh_choice.implementation(torch.ones(1)).__name__ == f"reformer.model.lsh_{name}"


def test_a_name_that_no_implementation_has_is_refused(monkeypatch):
    monkeypatch.setenv(lsh_choice.VARIABLE, "fast")
    with pytest.raises(SettingError, match="REFORMER_LSH"):
        lsh_choice.implementation(torch.ones(1))


def test_an_old_gpu_gets_the_portable_path_and_one_warning(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.warns(UserWarning, match="compute capability is below 8.0"):
        assert lsh_choice._fault(CUDA)
    assert lsh_choice._fault(CUDA)  # any warning here is an error


def no_triton(_):
    raise ImportError("No module named 'triton'")


@pytest.mark.parametrize(
    ("difference", "warning"),
    [(lambda _: 0.3, "differ by 3.0e-01"), (lambda _: float("nan"), "nan"), (no_triton, "triton")],
)
def test_kernels_that_fail_or_differ_are_not_used(monkeypatch, difference, warning):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(lsh_choice, "_difference", difference)
    with pytest.warns(UserWarning, match=warning):
        assert lsh_choice._fault(CUDA)


def test_kernels_that_agree_are_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(lsh_choice, "_difference", lambda _: 1e-6)
    assert not lsh_choice._fault(CUDA)
