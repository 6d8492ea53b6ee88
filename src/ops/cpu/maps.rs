//! Feature maps in host memory: image by image, row by row, the channels of a pixel side by side.

use candle_core::{Device, Result, Tensor};

use super::buffers::{Buffer, Buffers};
use super::gemm::padded;
use crate::ops::with_values;

/// Maps of a batch, `batch x height x width x channels`; the channels are padded with zeros to a multiple of
/// [`LANE`](super::gemm::LANE), so that every loop over them is whole vectors.
#[derive(Debug)]
pub struct HostMaps {
    values: Buffer,
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl HostMaps {
    /// Maps whose values are still to be written.
    pub fn new(buffers: &Buffers, batch: usize, (height, width): (usize, usize), channels: usize) -> Self {
        let values = buffers.take(batch * height * width * padded(channels));
        Self { values, batch, height, width, channels }
    }

    /// Channels of a pixel with their padding.
    pub fn stride(&self) -> usize {
        padded(self.channels)
    }

    /// Values of one image.
    pub fn size(&self) -> usize {
        self.height * self.width * self.stride()
    }

    /// One image.
    pub fn image(&self, image: usize) -> &[f32] {
        &self.values[image * self.size()..(image + 1) * self.size()]
    }

    /// All values.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// From batch x channels x height x width.
    pub fn from_tensor(buffers: &Buffers, tensor: &Tensor) -> Result<Self> {
        let (batch, channels, height, width) = tensor.dims4()?;
        let mut maps = Self::new(buffers, batch, (height, width), channels);
        let stride = maps.stride();
        maps.values.fill(0.0);
        with_values(tensor, |values| {
            let planes = values.chunks_exact((height * width).max(1));
            for (index, plane) in planes.enumerate() {
                let (image, channel) = (index / channels, index % channels);
                let pixels = maps.values[image * height * width * stride..].chunks_exact_mut(stride);
                for (pixel, value) in pixels.zip(plane) {
                    pixel[channel] = *value;
                }
            }
            Ok(())
        })?;
        Ok(maps)
    }

    /// To batch x channels x height x width.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let (stride, pixels) = (self.stride(), self.height * self.width);
        let mut values = Vec::with_capacity(self.batch * self.channels * pixels);
        for image in 0..self.batch {
            let image = self.image(image);
            for channel in 0..self.channels {
                values.extend((0..pixels).map(|pixel| image[pixel * stride + channel]));
            }
        }
        Tensor::from_vec(values, (self.batch, self.channels, self.height, self.width), &Device::Cpu)
    }
}
