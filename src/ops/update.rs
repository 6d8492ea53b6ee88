//! One step of an optimizer on one tensor, with PyTorch's semantics.
//!
//! On the CPU a step is one pass that changes the parameter and its moments where they lie; elsewhere it is a few tensor operations.
//! Both round alike.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// Settings of one step of stochastic gradient descent.
#[derive(Debug, Clone, Copy)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last update's direction that is kept.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Whether to look ahead (Nesterov).
    pub nesterov: bool,
}

/// The parameter and its momentum buffer after one step. The first step's buffer is the gradient.
///
/// # Errors
/// Shapes that do not fit.
pub fn sgd_step(
    parameter: &Tensor,
    gradient: &Tensor,
    buffer: Option<&Tensor>,
    step: SgdStep,
) -> Result<(Tensor, Option<Tensor>)> {
    let mut direction = gradient.clone();
    if step.weight_decay != 0.0 {
        direction = (direction + (parameter * step.weight_decay)?)?;
    }
    let mut kept = None;
    if step.momentum != 0.0 {
        let updated = match buffer {
            None => direction.clone(),
            Some(buffer) => ((buffer * step.momentum)? + &direction)?,
        };
        direction = if step.nesterov { (direction + (&updated * step.momentum)?)? } else { updated.clone() };
        kept = Some(updated);
    }
    Ok(((parameter - (direction * step.lr)?)?, kept))
}

/// Settings of one step of Adam.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// The number of this step, from 1.
    pub step: u64,
}

/// The parameter and its two moments after one step (Kingma and Ba 2015, algorithm 1).
///
/// # Errors
/// Shapes that do not fit.
pub fn adam_step(
    parameter: &Tensor,
    gradient: &Tensor,
    moments: Option<(&Tensor, &Tensor)>,
    step: AdamStep,
) -> Result<(Tensor, Tensor, Tensor)> {
    let mut gradient = gradient.clone();
    if step.weight_decay != 0.0 {
        gradient = (gradient + (parameter * step.weight_decay)?)?;
    }
    let fresh_first = (&gradient * (1.0 - step.beta1))?;
    let fresh_second = (gradient.sqr()? * (1.0 - step.beta2))?;
    let (first, second) = match moments {
        None => (fresh_first, fresh_second),
        Some((first, second)) => {
            (((first * step.beta1)? + fresh_first)?, ((second * step.beta2)? + fresh_second)?)
        }
    };
    let exponent = step.step as f64;
    let correction1 = 1.0 - libm::pow(step.beta1, exponent);
    let correction2 = 1.0 - libm::pow(step.beta2, exponent);
    let denominator = ((second.sqrt()? / correction2.sqrt())? + step.eps)?;
    let update = ((&first * (step.lr / correction1))? / denominator)?;
    Ok(((parameter - update)?, first, second))
}

/// A moment of an optimizer, where its parameter lies.
#[derive(Debug)]
pub struct Moment(Kept);

#[derive(Debug)]
enum Kept {
    Tensor(Tensor),
    Host(Vec<usize>, Vec<f32>),
}

impl Moment {
    /// On a device, from host memory.
    ///
    /// # Errors
    /// The device has no memory.
    pub fn place(shape: Vec<usize>, values: Vec<f32>, device: &Device) -> Result<Self> {
        let kept = match device {
            Device::Cpu => Kept::Host(shape, values),
            _ => Kept::Tensor(Tensor::from_vec(values, shape, device)?),
        };
        Ok(Self(kept))
    }

    /// Shape and values; of a moment on the CPU where they lie.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn values(&self) -> Result<(&[usize], Cow<'_, [f32]>)> {
        match &self.0 {
            Kept::Host(shape, values) => Ok((shape, Cow::Borrowed(values))),
            Kept::Tensor(tensor) => Ok((tensor.dims(), Cow::Owned(tensor.flatten_all()?.to_vec1()?))),
        }
    }

    /// Zeros, which are what the first step starts from.
    fn zeros(like: &Tensor) -> Result<Self> {
        match like.device() {
            Device::Cpu => Ok(Self(Kept::Host(like.dims().to_vec(), vec![0.0; like.elem_count()]))),
            _ => Ok(Self(Kept::Tensor(like.zeros_like()?))),
        }
    }

    fn tensor(&self) -> Result<&Tensor> {
        match &self.0 {
            Kept::Tensor(tensor) => Ok(tensor),
            Kept::Host(..) => bail!("a moment on the CPU for a parameter that is not"),
        }
    }

    fn host(&mut self) -> Result<&mut [f32]> {
        match &mut self.0 {
            Kept::Host(_, values) => Ok(values),
            Kept::Tensor(_) => bail!("a moment on another device for a parameter on the CPU"),
        }
    }
}

impl SgdStep {
    /// Moves a parameter; `buffer` is its momentum. On the CPU the parameter is changed where it lies, for all who
    /// share it.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn apply(self, parameter: &Tensor, gradient: &Tensor, buffer: &mut Option<Moment>) -> Result<Tensor> {
        if !parameter.device().is_cpu() || self.momentum == 0.0 {
            let before = buffer.as_ref().map(Moment::tensor).transpose()?;
            let (moved, kept) = sgd_step(parameter, gradient, before, self)?;
            *buffer = kept.map(|kept| Moment(Kept::Tensor(kept)));
            return Ok(moved);
        }
        let (lr, decay) = (self.lr as f32, self.weight_decay as f32);
        let momentum = self.momentum as f32;
        if buffer.is_none() {
            *buffer = Some(Moment::zeros(parameter)?);
        }
        let Some(moment) = buffer.as_mut() else { bail!("momentum without a buffer") };
        let nesterov = self.nesterov;
        in_place(parameter, gradient, (moment.host()?, &mut []), |parameter, gradient, buffer, _| {
            for ((p, g), buffer) in parameter.iter_mut().zip(gradient).zip(buffer) {
                let direction = g + decay * *p;
                let updated = momentum * *buffer + direction;
                *p -= lr * if nesterov { direction + momentum * updated } else { updated };
                *buffer = updated;
            }
        })
    }
}

impl AdamStep {
    /// Moves a parameter; `moments` are its first and second. On the CPU the parameter is changed where it lies, for all
    /// who share it.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn apply(
        self,
        parameter: &Tensor,
        gradient: &Tensor,
        moments: &mut Option<(Moment, Moment)>,
    ) -> Result<Tensor> {
        if !parameter.device().is_cpu() {
            let before = match moments.as_ref() {
                None => None,
                Some((first, second)) => Some((first.tensor()?, second.tensor()?)),
            };
            let (moved, first, second) = adam_step(parameter, gradient, before, self)?;
            *moments = Some((Moment(Kept::Tensor(first)), Moment(Kept::Tensor(second))));
            return Ok(moved);
        }
        if moments.is_none() {
            *moments = Some((Moment::zeros(parameter)?, Moment::zeros(parameter)?));
        }
        let Some((first, second)) = moments.as_mut() else { bail!("Adam without moments") };
        let exponent = self.step as f64;
        let correction1 = 1.0 - libm::pow(self.beta1, exponent);
        let root2 = (1.0 - libm::pow(self.beta2, exponent)).sqrt();
        let (rate, scale) = ((self.lr / correction1) as f32, (1.0 / root2) as f32);
        let (beta1, rest1) = (self.beta1 as f32, (1.0 - self.beta1) as f32);
        let (beta2, rest2) = (self.beta2 as f32, (1.0 - self.beta2) as f32);
        let (decay, eps) = (self.weight_decay as f32, self.eps as f32);
        in_place(
            parameter,
            gradient,
            (first.host()?, second.host()?),
            |parameter, gradient, first, second| {
                for (((p, g), first), second) in parameter.iter_mut().zip(gradient).zip(first).zip(second) {
                    let g = g + decay * *p;
                    *first = *first * beta1 + g * rest1;
                    *second = *second * beta2 + g * g * rest2;
                    *p -= *first * rate / (second.sqrt() * scale + eps);
                }
            },
        )
    }
}

/// Values of a parameter that a thread takes at a time.
const PIECE: usize = 1 << 15;

/// Calls `each` with pieces of a parameter, its gradient and its moments, of which the second may be empty; returns the
/// parameter.
fn in_place(
    parameter: &Tensor,
    gradient: &Tensor,
    (first, second): (&mut [f32], &mut [f32]),
    each: impl Fn(&mut [f32], &[f32], &mut [f32], &mut [f32]) + Send + Sync,
) -> Result<Tensor> {
    let count = parameter.elem_count();
    if gradient.dims() != parameter.dims() || first.len() != count || ![0, count].contains(&second.len()) {
        bail!("a gradient of shape {:?} for a parameter of {:?}", gradient.shape(), parameter.shape());
    }
    let parameter = parameter.contiguous()?;
    let update = Update { moments: Mutex::new((first, second)), each };
    parameter.inplace_op2(&gradient.contiguous()?, &update)?;
    Ok(parameter)
}

struct Update<'a, F> {
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    each: F,
}

impl<F: Fn(&mut [f32], &[f32], &mut [f32], &mut [f32]) + Send + Sync> InplaceOp2 for Update<'_, F> {
    fn name(&self) -> &'static str {
        "optimizer step"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(parameter), CpuStorage::F32(gradient)) = (parameter, gradient) else {
            bail!("an optimizer moves f32 parameters")
        };
        let count = layout.shape().elem_count();
        let parameter = &mut parameter[layout.start_offset()..][..count];
        let gradient = &gradient[gradient_layout.start_offset()..][..count];
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = &mut *moments;
        let mut seconds: Vec<&mut [f32]> = second.chunks_mut(PIECE).collect();
        seconds.resize_with(count.div_ceil(PIECE), Default::default);
        let parts = parameter.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
        parts.zip(first.par_chunks_mut(PIECE)).zip(seconds).for_each(
            |(((parameter, gradient), first), second)| {
                (self.each)(parameter, gradient, first, second);
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in -1..1.
    fn values(count: usize, seed: usize) -> Tensor {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
        Tensor::from_vec((0..count).map(value).collect::<Vec<_>>(), count, &Device::Cpu).unwrap()
    }

    fn assert_close(found: &Tensor, expected: &Tensor) {
        let (found, expected) = (found.to_vec1::<f32>().unwrap(), expected.to_vec1::<f32>().unwrap());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() <= 1e-6 * expected.abs().max(1e-2),
                "{found} against {expected}"
            );
        }
    }

    #[test]
    fn steps_in_place_are_those_of_tensor_operations() {
        let count = PIECE + 777;
        for (nesterov, momentum) in [(false, 0.9), (true, 0.9), (false, 0.0)] {
            let step = SgdStep { lr: 0.1, momentum, weight_decay: 0.01, nesterov };
            let (mut there, mut here) = (values(count, 1), values(count, 1));
            let (mut buffer, mut moment) = (None, None);
            for seed in 2..5 {
                let gradient = values(count, seed);
                (there, buffer) = sgd_step(&there, &gradient, buffer.as_ref(), step).unwrap();
                here = step.apply(&here, &gradient, &mut moment).unwrap();
                assert_close(&here, &there);
            }
        }
        let (mut there, mut here) = (values(count, 1), values(count, 1));
        let (mut moments, mut kept) = (None::<(Tensor, Tensor)>, None);
        for number in 1..4 {
            let step =
                AdamStep { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, step: number };
            let gradient = values(count, number as usize + 1);
            let before = moments.as_ref().map(|(first, second)| (first, second));
            let (moved, first, second) = adam_step(&there, &gradient, before, step).unwrap();
            (there, moments) = (moved, Some((first, second)));
            here = step.apply(&here, &gradient, &mut kept).unwrap();
            assert_close(&here, &there);
        }
    }

    #[test]
    fn a_gradient_of_another_shape_is_an_error() {
        let step = SgdStep { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
        assert!(step.apply(&values(3, 1), &values(4, 1), &mut None).is_err());
    }
}
