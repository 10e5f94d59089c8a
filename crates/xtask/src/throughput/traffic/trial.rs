//! One trial: frames are sent at a rate or as fast as one core can, and counted where they arrive.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::frame::{self, Flow, Frames, Mix, Order, To};
use super::plug::{BURST, Plug, now};
use crate::interrupt::Interrupt;
use crate::throughput::processor;

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_micros(500);

/// What a pause of the sender leaves out is made up for only as far as this, in one burst: more would be a load
/// that no host sends.
const CATCH_UP: Duration = Duration::from_micros(200);

/// Without arrivals for so long, nothing is on its way any more.
const QUIET: Duration = Duration::from_millis(20);

/// The longest that frames may be on their way.
const LATEST: Duration = Duration::from_secs(2);

/// Until queues are as full as they will be, and the processor is awake.
const WARM_UP: Duration = Duration::from_millis(100);

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) mix: Mix,
    pub(crate) flows: Vec<Flow>,
    /// Frames a second of all flows together; as fast as one core can if `None`.
    pub(crate) rate: Option<f64>,
    pub(crate) duration: Duration,
    /// Ends after so many frames.
    pub(crate) frames: u64,
    /// Whether probes are sent between them.
    pub(crate) probes: bool,
    /// The plug whose holder does not read.
    pub(crate) deaf: Option<usize>,
}

impl Load {
    pub(crate) fn new(mix: Mix, flows: Vec<Flow>, duration: Duration) -> Self {
        Self { mix, flows, rate: None, duration, frames: u64::MAX, probes: false, deaf: None }
    }

    pub(crate) fn at(self, rate: f64) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) offered: u64,
    pub(crate) elapsed: Duration,
    /// Frames that arrived at each plug.
    pub(crate) received: Vec<u64>,
    /// Processor time of all cores.
    pub(crate) busy: Duration,
    /// Of the probes, in microseconds.
    pub(crate) latencies: Vec<f64>,
}

impl Outcome {
    /// Frames that arrived, at all plugs together.
    pub(crate) fn delivered(&self) -> u64 {
        self.received.iter().sum()
    }

    pub(crate) fn offered_rate(&self) -> f64 {
        self.offered as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn delivered_rate(&self) -> f64 {
        self.delivered() as f64 / self.elapsed.as_secs_f64()
    }

    /// Frames delivered for each second of processor time.
    pub(crate) fn per_processor_second(&self) -> f64 {
        self.delivered() as f64 / self.busy.as_secs_f64().max(1e-9)
    }

    /// The part of what was offered that did not arrive, where each frame is for one plug.
    pub(crate) fn loss(&self) -> f64 {
        let missing = self.offered.saturating_sub(self.delivered());
        missing as f64 / (self.offered.max(1)) as f64
    }
}

/// Sends at a rate, waits for what is on its way, and counts all of it: for whether frames are lost.
pub(crate) fn trial(plugs: &mut [Plug], load: &Load, interrupt: &Interrupt) -> Result<Outcome> {
    let mut sender = Sender::new(plugs, load)?;
    let before = sender.received()?;
    let (start, busy) = (Instant::now(), processor::busy()?);
    sender.run(load.duration, interrupt)?;
    let (offered, elapsed) = (sender.sent, start.elapsed());
    sender.drain(interrupt)?;
    let busy = processor::busy()?.saturating_sub(busy);
    let received = difference(&sender.received()?, &before);
    let mut latencies = Vec::new();
    for plug in &mut *sender.plugs {
        latencies.append(&mut plug.latencies()?);
    }
    Ok(Outcome { offered, elapsed, received, busy, latencies })
}

/// Sends without a pause and counts for `load.duration` in the midst of it, once queues are full: for how many get
/// through.
pub(crate) fn flood(plugs: &mut [Plug], load: &Load, interrupt: &Interrupt) -> Result<Outcome> {
    let mut sender = Sender::new(plugs, load)?;
    sender.run(WARM_UP, interrupt)?;
    let (before, offered, busy) = (sender.received()?, sender.sent, processor::busy()?);
    let start = Instant::now();
    sender.run(load.duration, interrupt)?;
    let (elapsed, after) = (start.elapsed(), sender.received()?);
    let (offered, busy) = (sender.sent - offered, processor::busy()?.saturating_sub(busy));
    sender.drain(interrupt)?;
    Ok(Outcome { offered, elapsed, received: difference(&after, &before), busy, latencies: Vec::new() })
}

/// Lets the stations that `flows` go to say a word, so that they are known, each `times`.
pub(crate) fn introduce(
    plugs: &mut [Plug],
    flows: &[Flow],
    rate: f64,
    times: u32,
    interrupt: &Interrupt,
) -> Result<()> {
    for flow in flows {
        let To::Port(to) = flow.to else { continue };
        let back = Flow { from: to, to: To::Port(flow.from), order: Order::EachToOne, ..*flow };
        let frames = u64::from(flow.stations) * u64::from(times);
        let load =
            Load { frames, ..Load::new(frame::SHORTEST, vec![back], Duration::from_secs(60)).at(rate) };
        trial(plugs, &load, interrupt)?;
    }
    Ok(())
}

fn difference(after: &[u64], before: &[u64]) -> Vec<u64> {
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

/// The traffic of a trial.
struct Sender<'a> {
    plugs: &'a mut [Plug],
    load: &'a Load,
    frames: Vec<Frames>,
    sent: u64,
    probes: u64,
    next_probe: Instant,
}

impl<'a> Sender<'a> {
    fn new(plugs: &'a mut [Plug], load: &'a Load) -> Result<Self> {
        for plug in &mut *plugs {
            plug.latencies()?;
        }
        let frames = load.flows.iter().map(|flow| Frames::new(*flow, load.mix)).collect();
        Ok(Self { plugs, load, frames, sent: 0, probes: 0, next_probe: Instant::now() })
    }

    fn received(&self) -> Result<Vec<u64>> {
        self.plugs.iter().map(Plug::received).collect()
    }

    fn run(&mut self, duration: Duration, interrupt: &Interrupt) -> Result<()> {
        let (start, already) = (Instant::now(), self.sent);
        // Frames that a pause of this thread has left out.
        let mut skipped = 0;
        loop {
            interrupt.check()?;
            let elapsed = start.elapsed();
            if elapsed >= duration || self.sent >= self.load.frames {
                return Ok(());
            }
            let due = match self.load.rate {
                None => self.frames.len() * BURST,
                Some(rate) => {
                    let due = (elapsed.as_secs_f64() * rate) as u64 - skipped + already;
                    let most = BURST.max((rate * CATCH_UP.as_secs_f64()) as usize);
                    let due = due.saturating_sub(self.sent) as usize;
                    skipped += due.saturating_sub(most) as u64;
                    due.min(most)
                }
            };
            self.send((due as u64).min(self.load.frames - self.sent) as usize)?;
            if self.load.probes {
                self.probe()?;
            }
            self.pump()?;
        }
    }

    /// Sends so many frames, of each flow as many.
    fn send(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let flows = self.frames.len();
            for (frames, flow) in self.frames.iter_mut().zip(&self.load.flows) {
                let burst = frames.next(left.div_ceil(flows).min(BURST).min(left), now());
                self.plugs[flow.from].send(burst)?;
                self.sent += burst.len() as u64;
                left -= burst.len();
            }
        }
        Ok(())
    }

    fn probe(&mut self) -> Result<()> {
        if Instant::now() < self.next_probe {
            return Ok(());
        }
        self.next_probe = Instant::now() + PROBE_EVERY;
        let length = self.load.mix.length(self.probes as usize);
        for flow in &self.load.flows {
            self.plugs[flow.from].send(&[frame::probe(flow, length, self.probes, now())])?;
            self.sent += 1;
        }
        self.probes += 1;
        Ok(())
    }

    fn pump(&mut self) -> Result<()> {
        for (number, plug) in self.plugs.iter_mut().enumerate() {
            if self.load.deaf != Some(number) {
                plug.pump()?;
            }
        }
        Ok(())
    }

    /// Waits for what is on its way.
    fn drain(&mut self, interrupt: &Interrupt) -> Result<()> {
        let start = Instant::now();
        let (mut last, mut since) = (self.received()?, start);
        while since.elapsed() < QUIET && start.elapsed() < LATEST {
            interrupt.check()?;
            self.pump()?;
            let received = self.received()?;
            if received != last {
                (last, since) = (received, Instant::now());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }
}
