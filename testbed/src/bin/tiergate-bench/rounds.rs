//! Measuring by turns: one round runs every subject once, so that whatever else
//! the machine does meets all of them alike, and ratios are taken within a round.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::load::{Load, Seen};
use crate::process::{cpu_nanos, cpu_nanos_of};
use crate::service::Service;

/// The thread of the service that writes decision lines.
const LOG_THREAD: &str = "decision-log";

/// What is measured: a server under a load.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'static str,
    /// The process whose CPU time is counted; `None` where only latency matters.
    pub(crate) pid: Option<u32>,
    /// The proxy between, whose CPU time is counted apart.
    pub(crate) proxy: Option<u32>,
    pub(crate) load: Load,
    /// Present: every request must have been a check of this service, and allowed.
    pub(crate) decided_by: Option<&'a Service>,
}

/// One subject in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// CPU time for each request, in µs.
    pub(crate) cpu: f64,
    /// Of that, what the thread took that writes the decision log.
    pub(crate) log_cpu: f64,
    pub(crate) proxy_cpu: f64,
    pub(crate) seen: Seen,
}

/// One subject in all rounds.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
}

/// Median, least and greatest of what the rounds gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) };
        Self { median, min: at(0), max: at(values.len().saturating_sub(1)) }
    }

    pub(crate) fn json(self) -> Value {
        let Self { median, min, max } = self;
        let round = |number: f64| (number * 1000.0).round() / 1000.0;
        json!({ "median": round(median), "min": round(min), "max": round(max) })
    }
}

impl Subject<'_> {
    /// Runs the load once.
    pub(crate) fn measure(&self) -> Result<Sample> {
        let allowed = |service: Option<&Service>| service.map(Service::allowed).transpose();
        let cpu = |pid: Option<u32>| pid.map(cpu_nanos).transpose();
        let log = || self.decided_by.zip(self.pid).map(|(_, pid)| cpu_nanos_of(pid, LOG_THREAD)).transpose();
        let before = (allowed(self.decided_by)?, cpu(self.pid)?, cpu(self.proxy)?, log()?);
        let seen = self.load.run()?;
        let after = (allowed(self.decided_by)?, cpu(self.pid)?, cpu(self.proxy)?, log()?);
        if let Some((before, after)) = before.0.zip(after.0) {
            let (allowed, least) = (after - before, seen.requests as f64);
            // Which of the two proxies' requests were cut off is not told.
            if allowed < least || allowed > least + self.load.cut_off() as f64 {
                bail!("{}: {allowed} checks were allowed in place of {least}", self.name);
            }
        }
        let each = |before: Option<u64>, after: Option<u64>| {
            before.zip(after).map_or(0.0, |(before, after)| (after - before) as f64 / seen.requests as f64 / 1000.0)
        };
        let (cpu, proxy_cpu, log_cpu) = (each(before.1, after.1), each(before.2, after.2), each(before.3, after.3));
        Ok(Sample { cpu, log_cpu, proxy_cpu, seen })
    }
}

/// Measures all of `subjects` by turns. The first round warms up and does not count.
pub(crate) fn interleave(subjects: &[Subject<'_>], rounds: usize) -> Result<Vec<Series>> {
    let mut all: Vec<Series> =
        subjects.iter().map(|subject| Series { name: subject.name, samples: Vec::with_capacity(rounds) }).collect();
    for round in 0..=rounds {
        for (subject, series) in subjects.iter().zip(&mut all) {
            let sample = subject.measure()?;
            if round > 0 {
                series.samples.push(sample);
            }
        }
    }
    Ok(all)
}

impl Series {
    pub(crate) fn spread(&self, of: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(of))
    }

    pub(crate) fn cpu(&self) -> Spread {
        self.spread(|sample| sample.cpu)
    }

    /// CPU for each request over that of another server, round by round.
    pub(crate) fn ratio(&self, floor: &Self) -> Spread {
        Spread::of(self.samples.iter().zip(&floor.samples).map(|(own, floor)| own.cpu / floor.cpu))
    }

    /// What one figure has above that of another server, round by round.
    pub(crate) fn above(&self, floor: &Self, of: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().zip(&floor.samples).map(|(own, floor)| of(own) - of(floor)))
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "cpu_us": self.cpu().json(),
            "proxy_cpu_us": self.spread(|sample| sample.proxy_cpu).json(),
            "per_second": self.spread(|sample| sample.seen.rate).json(),
            "p50_us": self.spread(|sample| sample.seen.p50).json(),
            "p99_us": self.spread(|sample| sample.seen.p99).json(),
            "rounds": self.samples.len(),
            "requests": self.samples.iter().map(|sample| sample.seen.requests).sum::<usize>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(cpu: &[f64]) -> Series {
        let seen = Seen { requests: 1, rate: 1.0, p50: 1.0, p99: 1.0, max: 1.0, slow: 0 };
        let samples = cpu.iter().map(|cpu| Sample { cpu: *cpu, log_cpu: 0.0, proxy_cpu: 0.0, seen }).collect();
        Series { name: "x", samples }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let Spread { median, min, max } = Spread::of([5.0]);
        assert_eq!((median, min, max), (5.0, 5.0, 5.0));
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // The machine was three times as slow in the second round, for both.
        let (own, floor) = (series(&[10.0, 30.0, 11.0]), series(&[20.0, 60.0, 20.0]));
        let Spread { median, min, max } = own.ratio(&floor);
        assert_eq!((median, min, max), (0.5, 0.5, 0.55));
        assert_eq!(floor.above(&own, |sample| sample.cpu).median, 10.0);
    }
}
