//! Measures the time of a forward pass, and names the machine.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::network::Model;
use crate::ops::Vectors;
use crate::random::{Purpose, stream};

/// Timed passes, if [`BUDGET`] allows.
const PASSES: usize = 50;
/// Timed passes at least, however long one takes.
const FEWEST: usize = 5;
/// No new pass begins after this much timed work, once there are [`FEWEST`].
const BUDGET: Duration = Duration::from_secs(5);
/// Passes before the first timed one: they fill caches, buffers and the thread pool.
const WARM_UP: usize = 5;
/// Warm-up ends after this, once one pass is done.
const WARM_UP_BUDGET: Duration = Duration::from_secs(1);
/// A median whose spread is above this share of it is noise: see [`Timing::is_noisy`].
const NOISY: f64 = 0.2;

/// The time of a forward pass, over many passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The median, in milliseconds.
    pub median_ms: f64,
    /// The first quartile.
    pub low_ms: f64,
    /// The third quartile.
    pub high_ms: f64,
    /// How many passes were timed.
    pub passes: usize,
}

impl Timing {
    /// Summarises times in milliseconds; `None` if there are none. Quartiles are interpolated linearly (type
    /// 7 of Hyndman and Fan, the default of numpy and R).
    pub fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let last = times.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, part) = (place.floor() as usize, place.fract());
            times[below] + part * (times[(below + 1).min(last)] - times[below])
        };
        Some(Self { median_ms: at(0.5), low_ms: at(0.25), high_ms: at(0.75), passes: times.len() })
    }

    /// The interquartile range over the median.
    pub fn spread(&self) -> f64 {
        if self.median_ms > 0.0 { (self.high_ms - self.low_ms) / self.median_ms } else { 0.0 }
    }

    /// Whether the times differ too much for a useful median, as on a busy machine.
    pub fn is_noisy(&self) -> bool {
        self.spread() > NOISY
    }
}

/// The machine on which times were measured, and the instruction set, threads and device that it used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Machine {
    /// Its name in the network.
    pub host: String,
    /// The model of its CPU.
    pub cpu: String,
    /// The CPU's instruction set that was used: `avx512`, `avx2`, `neon`, `plain`.
    pub instructions: String,
    /// CPU threads of the measurement.
    pub threads: usize,
    /// The device that computed: `cpu`, `cuda`, `metal`.
    pub device: String,
}

impl Machine {
    /// This machine, with the threads of the calling thread's pool.
    pub fn here(device: &Device) -> Self {
        let device = match device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        };
        Self {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            cpu: cpu(),
            instructions: Vectors::chosen().map_or("plain", Vectors::name).to_owned(),
            threads: rayon::current_num_threads(),
            device: device.to_owned(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, cpu, instructions, threads, device } = self;
        let threads = crate::train::latency::threads(*threads);
        match device.as_str() {
            "cpu" => write!(f, "{host} ({cpu}, {instructions}), {threads}"),
            device => write!(f, "{host} ({device}), {threads}"),
        }
    }
}

fn threads(count: usize) -> String {
    if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") }
}

/// The model of the CPU, where the system reports it.
fn cpu() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map(|(_, model)| model.split_whitespace().collect::<Vec<_>>().join(" "));
    model.filter(|model| !model.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Times forward passes of `batch` random images, after a warm-up. `None` if `should_stop` says so in
/// between.
///
/// # Errors
/// Tensor computations.
pub fn latency(
    model: &Model,
    batch: usize,
    device: &Device,
    should_stop: &dyn Fn() -> bool,
) -> Result<Option<Timing>> {
    let images = images(model.spec().input, batch, device)?;
    let pass = || -> Result<Duration> {
        let start = Instant::now();
        // Reading the result waits for a device that computes asynchronously.
        model.forward(&images)?.to_vec2::<f32>()?;
        Ok(start.elapsed())
    };
    let began = Instant::now();
    for _ in 0..WARM_UP {
        pass()?;
        if should_stop() {
            return Ok(None);
        }
        if began.elapsed() > WARM_UP_BUDGET {
            break;
        }
    }
    let mut times = Vec::with_capacity(PASSES);
    let mut took = Duration::ZERO;
    while times.len() < PASSES && (times.len() < FEWEST || took < BUDGET) {
        let time = pass()?;
        took += time;
        times.push(time.as_secs_f64() * 1000.0);
        if should_stop() {
            return Ok(None);
        }
    }
    Ok(Timing::of(times))
}

/// Images of unit variance, like normalised images. Zeros would not be representative: their sums need no
/// rounding and have no denormal numbers, which are slow.
fn images([channels, height, width]: [usize; 3], batch: usize, device: &Device) -> Result<Tensor> {
    let mut random = stream(Purpose::Latency, 0, &[]);
    let size = batch * channels * height * width;
    let edge = 3f32.sqrt();
    let pixels: Vec<f32> = (0..size).map(|_| random.random_range(-edge..edge)).collect();
    Tensor::from_vec(pixels, (batch, channels, height, width), device)?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Arch, NetworkSpec, initialise};
    use crate::ops::{Algorithm, Backend};

    #[test]
    fn the_quartiles_are_numpy_s() {
        // numpy.percentile([1, 2, 4, 8, 16, 32], [25, 50, 75]) = [2.5, 6.0, 14.0]
        let found = Timing::of(vec![32.0, 1.0, 8.0, 2.0, 16.0, 4.0]).unwrap();
        assert_eq!((found.low_ms, found.median_ms, found.high_ms, found.passes), (2.5, 6.0, 14.0, 6));
        assert!((found.spread() - 11.5 / 6.0).abs() < 1e-12 && found.is_noisy());
        let one = Timing::of(vec![3.0]).unwrap();
        assert_eq!((one.low_ms, one.median_ms, one.spread(), one.is_noisy()), (3.0, 3.0, 0.0, false));
        assert_eq!(Timing::of(Vec::new()), None);
    }

    #[test]
    fn images_are_the_same_each_time_of_unit_variance_and_not_zero() {
        let draw = || {
            let images = images([3, 16, 16], 8, &Device::Cpu).unwrap();
            images.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let pixels = draw();
        assert_eq!(pixels, draw());
        let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
        let variance = pixels.iter().map(|pixel| (pixel - mean).powi(2)).sum::<f32>() / pixels.len() as f32;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!(pixels.iter().all(|pixel| *pixel != 0.0));
    }

    #[test]
    fn a_measurement_has_many_passes_and_stops_when_it_is_asked_to() {
        let spec = NetworkSpec::vgg(Arch::Vgg11, 1, 1.0, [1, 16, 16], 2).unwrap();
        let backend = Backend::new(&Device::Cpu, Algorithm::default()).unwrap();
        let model = Model::load_on(&initialise(&spec, 7), &Device::Cpu, &backend).unwrap();
        let found = latency(&model, 1, &Device::Cpu, &|| false).unwrap().unwrap();
        assert_eq!(found.passes, PASSES);
        assert!(0.0 < found.low_ms && found.low_ms <= found.median_ms && found.median_ms <= found.high_ms);
        assert_eq!(latency(&model, 1, &Device::Cpu, &|| true).unwrap(), None);
    }

    #[test]
    fn a_machine_says_who_it_is() {
        let here = Machine::here(&Device::Cpu);
        assert!(here.threads > 0 && !here.cpu.is_empty() && !here.host.is_empty());
        let known = Machine { host: "node7".into(), cpu: "Xeon".into(), instructions: "AVX2".into(), ..here };
        assert!(known.to_string().starts_with("node7 (Xeon, AVX2), "));
    }
}
