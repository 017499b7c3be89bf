"""The accelerators: a row each with ONNX Runtime's providers in order, what brings them, and what a host hands over.

accelerator("fpga").providers                    ("VitisAIExecutionProvider", "CPUExecutionProvider")
accelerator("fpga").kubernetes()                 {"amd.com/xilinx_u250_gen3x16_xdma_shell_4_1-0": "1"}
accelerator("cuda").host_config()                {"DeviceRequests": [...]}, for Docker, podman and IoT Edge
accelerator("openvino").check({"device": "x"})   SettingsError that names the option and what there is
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoring_runtime.errors import SettingsError
from scoring_runtime.provider_options import (
    CUDA,
    EMULATION,
    MIGRAPHX,
    OPENVINO,
    OPTIONS_SETTING,
    TENSORRT,
    VITIS_AI,
    Option,
    check,
    parse_options,
    plain,
)

__all__ = [
    "ACCELERATORS",
    "CPU",
    "OPTIONS_SETTING",
    "POLICIES",
    "POLICY_SETTING",
    "SETTING",
    "Accelerator",
    "Device",
    "accelerator",
    "parse_options",
]

CPU = "CPUExecutionProvider"
# Fall back and say so; at least one node of the graph on the accelerator; all of them.
POLICIES = ("prefer", "require", "require-all")
SETTING, POLICY_SETTING = "SCORING_ACCELERATOR", "SCORING_ACCELERATOR_POLICY"
PLUGIN = "plugin:"  # before the name of a pip package that brings a provider as a plugin


@dataclass(frozen=True)
class Device:
    """How a host hands the device to a container."""

    resource: str = ""  # in a Kubernetes container's limits
    paths: tuple[str, ...] = ()  # device files, for Docker
    driver: str = ""  # or a DeviceRequest of this driver's


@dataclass(frozen=True)
class Accelerator:
    """A row: its name is the value of SCORING_ACCELERATOR."""

    name: str
    title: str
    providers: tuple[str, ...]  # in the order in which ONNX Runtime asks them for nodes
    package: str  # the pip package that brings them; empty: only the base image does
    base_image: str  # the folder below base_images/
    device: Device = Device()
    options: tuple[Option, ...] | None = ()  # of the first provider; None: whatever it takes
    policy: str = "prefer"  # unless SCORING_ACCELERATOR_POLICY says
    plugin: str = ""  # a pip package that brings the first provider as a plugin of the stock onnxruntime
    one_model: bool = False  # an image holds exactly one
    autoscale: bool = True
    emulated: bool = False

    @property
    def fix(self) -> str:
        """How to get the provider, as the last sentence of an error."""
        image = f"build on base_images/{self.base_image}" if self.base_image else ""
        command = f"run: pip install {self.package}" if self.package else ""
        ways = " or ".join(filter(None, (image, command)))
        return f"To get it, {ways}; or set {SETTING} to another." if ways else f"Set {SETTING} to another."

    def check(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The options under their names of today, values as text; SettingsError names the first that cannot be."""
        return check(self.name, self.options, given)

    def device_for(self, options: Mapping[str, str]) -> Device:
        """OpenVINO runs on the processor unless its device_type says otherwise; the others have one device."""
        kinds = re.findall(r"GPU|NPU", options.get("device_type", ""))
        return INTEL_DEVICES[kinds[0]] if self.name == "openvino" and kinds else self.device

    def kubernetes(
        self, count: int = 1, options: Mapping[str, str] | None = None, resource: str = ""
    ) -> dict[str, str]:
        """The container's `resources.limits` for this many devices; `resource` where the cluster's has another name."""
        name = resource or self.device_for(options or {}).resource
        return {name: str(count)} if name else {}

    def host_config(self, count: int = 1, options: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What belongs into HostConfig of Docker's create call, and so into IoT Edge's createOptions."""
        device = self.device_for(options or {})
        if device.driver:
            request = {"Driver": device.driver, "Count": count, "Capabilities": [["gpu"]]}
            return {"DeviceRequests": [request]}
        paths = [{"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"} for path in device.paths]
        return {"Devices": paths} if paths else {}


INTEL_DEVICES = {
    "GPU": Device("gpu.intel.com/i915", ("/dev/dri",)),
    "NPU": Device("npu.intel.com/accel", ("/dev/accel",)),
}
NVIDIA = Device("nvidia.com/gpu", driver="nvidia")
# Azure's FPGA machines (NP series) carry the Alveo U250; `kubectl describe node` shows the name on other clusters.
ALVEO = Device("amd.com/xilinx_u250_gen3x16_xdma_shell_4_1-0", ("/dev/dri", "/dev/xclmgmt"))

ACCELERATORS: dict[str, Accelerator] = {
    row.name: row
    for row in (
        Accelerator("cpu", "processor", (CPU,), "onnxruntime", "cpu"),
        Accelerator("cuda", "NVIDIA GPU", ("CUDAExecutionProvider", CPU), "onnxruntime-gpu", "cuda", NVIDIA, CUDA),
        Accelerator(
            "tensorrt",
            "NVIDIA GPU through TensorRT",
            ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU),
            "onnxruntime-gpu",
            "cuda",
            NVIDIA,
            TENSORRT,
        ),
        Accelerator(
            "openvino",
            "Intel processor, GPU or NPU",
            ("OpenVINOExecutionProvider", CPU),
            "onnxruntime-openvino",
            "openvino",
            options=OPENVINO,
            plugin="onnxruntime-ep-openvino",
        ),
        Accelerator(
            "migraphx",
            "AMD GPU",
            ("MIGraphXExecutionProvider", CPU),
            "onnxruntime-migraphx",
            "",
            Device("amd.com/gpu", ("/dev/kfd", "/dev/dri")),
            MIGRAPHX,
        ),
        Accelerator(
            "fpga",
            "AMD FPGA through Vitis AI",
            ("VitisAIExecutionProvider", CPU),
            "",
            "vitis-ai",
            ALVEO,
            VITIS_AI,
            policy="require",
            one_model=True,
            autoscale=False,
        ),
        Accelerator(
            "fpga-emulation",
            "emulation of an FPGA kernel on the processor, through hls4ml",
            ("HLS4MLEmulation",),
            "'scoring-runtime[fpga-emulation]'",
            "",
            options=EMULATION,
            policy="require",
            one_model=True,
            autoscale=False,
            emulated=True,
        ),
    )
}
ALIASES = {"gpu": "cuda", "nvidia": "cuda", "trt": "tensorrt", "rocm": "migraphx", "vitisai": "fpga", "none": "cpu"}


def accelerator(name: str) -> Accelerator:
    """The row by its name, an alias, or a provider's name; a provider without a row gets one of its own."""
    known = {plain(row.name): row for row in ACCELERATORS.values()}
    known |= {plain(alias): ACCELERATORS[row] for alias, row in ALIASES.items()}
    known |= {plain(row.providers[0]): row for row in reversed(ACCELERATORS.values())}
    found = known.get(plain(name))
    if found is not None:
        return found
    if re.fullmatch(r"\w+ExecutionProvider", name):
        return Accelerator(name, name.removesuffix("ExecutionProvider"), (name, CPU), "", "", options=None)
    if re.fullmatch(rf"{PLUGIN}[A-Za-z0-9][\w.-]*", name):
        package = name.removeprefix(PLUGIN).replace("_", "-")
        return Accelerator(name, f"the plugin {package}", (name, CPU), package, "", options=None, plugin=package)
    names = ", ".join(ACCELERATORS)
    raise SettingsError(
        SETTING, name, f"one of {names}, plugin:PACKAGE, or a provider such as XnnpackExecutionProvider"
    )
