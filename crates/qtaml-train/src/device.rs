//! Devices by name.

use burn::tensor::Device;

use crate::TrainError;

/// The devices whose backends are compiled into this build, best default first.
pub const BUILT_IN: &[&str] = &[
    #[cfg(feature = "flex")]
    "flex",
    #[cfg(feature = "ndarray")]
    "ndarray",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "vulkan")]
    "vulkan",
    #[cfg(feature = "cuda")]
    "cuda",
];

/// Opens the device of that name: `flex`, `ndarray`, `wgpu`, `vulkan` or `cuda`, as far as this
/// build has their features.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// let device = qtaml_train::device::open("flex")?;
/// # }
/// let error = qtaml_train::device::open("abacus").unwrap_err();
/// assert!(error.to_string().starts_with("unknown device \"abacus\""));
/// # Ok::<(), qtaml_train::TrainError>(())
/// ```
///
/// # Errors
/// [`TrainError::UnknownDevice`] for any other name, [`TrainError::NoDevice`] if the backend finds
/// no hardware.
pub fn open(name: &str) -> Result<Device, TrainError> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => first("wgpu", burn::tensor::DeviceType::Wgpu),
        #[cfg(feature = "vulkan")]
        "vulkan" => first("vulkan", burn::tensor::DeviceType::Vulkan),
        #[cfg(feature = "cuda")]
        "cuda" => first("cuda", burn::tensor::DeviceType::Cuda),
        _ => Err(TrainError::UnknownDevice { name: name.into(), allowed: BUILT_IN.to_vec() }),
    }
}

#[cfg(feature = "ndarray")]
#[expect(deprecated, reason = "burn prefers flex; people still compare against ndarray")]
fn ndarray() -> Device {
    Device::ndarray()
}

/// The first device that a GPU backend lists: constructing one that does not exist would panic
/// at first use.
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
fn first(name: &'static str, kind: burn::tensor::DeviceType) -> Result<Device, TrainError> {
    Device::enumerate(kind).into_vec().into_iter().next().ok_or(TrainError::NoDevice(name))
}

/// What a device calls itself: backend and hardware.
pub fn describe(device: &Device) -> String {
    let debug = format!("{device:?}");
    let inner = debug.strip_prefix("Device<").and_then(|rest| rest.strip_suffix('>'));
    inner.unwrap_or(&debug).to_owned()
}
