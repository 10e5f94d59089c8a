//! The forwarding loop of one worker. One turn: receive → forward → transmit for each ready port, then tick, then
//! commands. Owns its replica of the bridge and its queues outright; per frame it makes no allocation, takes no lock,
//! writes no log and makes no system call but the port's own. Idle, it sleeps until an FDB entry ages or its
//! watchdog wants to be fed.

use std::io;
use std::time::Duration;

use bridge::{Beginning, Bridge, Deliveries, DropReason, DropSamples, Lost, Moment, PortId, Span};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use ports::batch::MAX_BATCH;
use ports::{Batch, Drained, RxQueue, SendError, TxQueue};

use crate::busy_poll::BusyPoll;
use crate::captures::Captures;
use crate::channels::Channels;
use crate::clock::{Clock, Reading};
use crate::command::{Change, Command, Event, PortReport, Report};
use crate::crew::WAKER;
use crate::lent;
use crate::news::News;
use crate::pace::Pace;
use crate::ready::ReadyList;
use crate::talkers::Talkers;
use crate::transmit::{Loss, Transmitter};
use crate::watchdog::Watchdog;

/// Ageing under load runs this often; when idle, at the moment when an entry expires.
const TICK: Span = Span(250);

/// While frames come, control is asked to look at what was counted and learned this often.
const LOOK: Span = Span(700);

/// What this worker has of an open port.
struct Halves {
    /// `None` where other workers receive from it.
    rx: Option<Box<dyn RxQueue>>,
    tx: Box<dyn TxQueue>,
    /// Which of the port's devices this is.
    nth: u32,
    /// Control knows that the kernel refuses some of what is sent here.
    refusal_told: bool,
}

pub(crate) struct Worker {
    poll: Poll,
    bridge: Bridge,
    /// By port number; `None` where no device is open.
    ports: Vec<Option<Halves>>,
    ready: ReadyList,
    /// Empty between two ports, unless an earlier process left something ([`Worker::take_up`]).
    batch: Batch,
    deliveries: Deliveries,
    samples: DropSamples,
    captures: Captures,
    talkers: Talkers,
    transmitter: Transmitter,
    channels: Channels,
    news: News,
    pace: Pace,
    busy_poll: BusyPoll,
    /// Frames came in this turn.
    frames_came: bool,
    next_tick: Moment,
    /// Frames have come since control was last asked to look.
    changed: bool,
    next_look: Moment,
    stopped: bool,
}

impl Worker {
    /// A worker for a bridge of so many `ports`, all without a device, that receives into `batch`.
    pub(crate) fn new(poll: Poll, bridge: Bridge, ports: usize, batch: Batch, channels: Channels) -> Self {
        Self {
            poll,
            bridge,
            ports: (0..ports).map(|_| None).collect(),
            ready: ReadyList::default(),
            batch,
            deliveries: Deliveries::new(MAX_BATCH),
            samples: DropSamples::new(),
            captures: Captures::new(),
            talkers: Talkers::default(),
            transmitter: Transmitter::new(),
            channels,
            news: News::default(),
            pace: Pace::default(),
            busy_poll: BusyPoll::default(),
            frames_came: false,
            next_tick: Moment(0),
            changed: false,
            next_look: Moment(0),
            stopped: false,
        }
    }

    /// Goes on asking for frames for so long after the last one.
    pub(crate) fn set_busy_poll(&mut self, span: Duration) {
        self.busy_poll.set(span);
    }

    /// Forwards until told to stop; says what was counted and learned in the end, and can go on from there.
    ///
    /// # Errors
    /// If polling fails, which leaves nothing to do but end.
    pub(crate) fn run(mut self, clock: Clock) -> io::Result<(Self, Report)> {
        let mut events = Events::with_capacity(256);
        let mut ended = clock.read();
        self.obey(ended.moment());
        while !self.stopped {
            let woken = self.wait(&mut events, ended)?;
            let in_vain = !woken && self.ready.is_empty();
            let began = clock.read();
            let now = began.moment();
            self.serve_ready(now);
            self.tick(now);
            if woken {
                self.obey(now);
            }
            ended = clock.read();
            if std::mem::take(&mut self.frames_came) {
                self.busy_poll.frames_came(ended);
            }
            if !in_vain {
                self.pace.turn(ended.since(began));
            }
        }
        // It may be that it goes on.
        self.stopped = false;
        let report = self.report();
        Ok((self, report))
    }

    /// Waits for frames, a command or the next expiry; not at all while a port may still have frames.
    fn wait(&mut self, events: &mut Events, now: Reading) -> io::Result<bool> {
        let sleeps = self.ready.is_empty() && !self.busy_poll.goes_on(now);
        let timeout = if sleeps { self.idle_time(now.moment()) } else { Some(Duration::ZERO) };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            other => other?,
        }
        let mut woken = false;
        for event in events.iter() {
            match event.token() {
                WAKER => woken = true,
                Token(port) => self.ready.add(PortId(port as u16)),
            }
        }
        Ok(woken)
    }

    fn idle_time(&mut self, now: Moment) -> Option<Duration> {
        let ageing = self.bridge.next_deadline();
        self.next_tick = ageing.unwrap_or(self.next_tick);
        let look = self.changed.then_some(self.next_look);
        let feed = self.channels.watchdog.as_ref().map(Watchdog::next);
        let next = [ageing, look, feed].into_iter().flatten().min()?;
        Some(Duration::from_millis(next.0.saturating_sub(now.0)))
    }

    /// One batch from each port that was ready when the turn began.
    fn serve_ready(&mut self, now: Moment) {
        for _ in 0..self.ready.len() {
            let Some(port) = self.ready.take() else { return };
            self.receive(port);
            self.bridge.catch_up();
            self.forward(port, now);
            self.report_news(now);
            self.fetch_lent();
            self.witness(port, now);
            self.transmit(port, now);
            self.release(port);
            self.batch.clear();
            self.wake_reader();
            self.wake_others();
        }
    }

    /// Takes up what an earlier process had received and not handed on, to send it before anything else; says how
    /// many frames. `port` tells what has become of a port of that process.
    pub(crate) fn take_up(&mut self, port: impl FnOnce(PortId) -> Option<PortId>) -> usize {
        let ingress = PortId(self.batch.take_up());
        match port(ingress) {
            Some(port) => self.ready.add(port),
            None => self.batch.clear(),
        }
        self.batch.len()
    }

    fn receive(&mut self, port: PortId) {
        if !self.batch.is_empty() {
            // Those were there before.
            self.ready.add(port);
            return;
        }
        self.batch.come_in_by(port.0);
        let Some(Some(Halves { rx: Some(rx), .. })) = self.ports.get_mut(usize::from(port.0)) else { return };
        match rx.receive(&mut self.batch, MAX_BATCH) {
            Drained::Empty => {}
            // After ENETDOWN there may be frames from before.
            Drained::More | Drained::Down => self.ready.add(port),
            Drained::Gone => self.lose(port),
        }
        match self.batch.take_truncated() {
            0 => {}
            lost => self.bridge.drop_ingress(port, DropReason::TooLong, lost),
        }
    }

    fn forward(&mut self, ingress: PortId, now: Moment) {
        if self.batch.is_empty() {
            return;
        }
        (self.changed, self.frames_came) = (true, true);
        self.pace.batch(self.batch.len());
        self.bridge.look_ahead(ingress, (0..self.batch.len()).map(|index| self.batch.frame(index)));
        for index in 0..self.batch.len() {
            let frame = self.batch.frame(index);
            let wire_len = self.batch.wire_len(index);
            self.bridge.forward(ingress, index as u16, wire_len, &frame, now, &mut self.deliveries);
        }
    }

    /// Fetches all of those lent frames of which somebody needs all.
    fn fetch_lent(&mut self) {
        if !self.batch.any_lent() {
            return;
        }
        let ports = &self.ports;
        let capabilities = |egress: PortId| {
            let halves = ports.get(usize::from(egress.0)).and_then(Option::as_ref);
            halves.map(|halves| halves.tx.capabilities())
        };
        lent::fetch(&mut self.batch, &self.deliveries, self.captures.any(), capabilities);
    }

    /// What was lent goes back, now that it is handed on.
    fn release(&mut self, port: PortId) {
        if self.batch.any_lent()
            && let Some(Some(Halves { rx: Some(rx), .. })) = self.ports.get_mut(usize::from(port.0))
        {
            rx.release();
        }
    }

    fn report_news(&mut self, now: Moment) {
        let (events, more) = (self.deliveries.events(), self.deliveries.events_left_out());
        if !events.is_empty() {
            self.news.pass_on(events, more, now, |event, left_out| self.channels.tell_news(event, left_out));
        }
    }

    /// Notes who sends, captures what came in, and keeps the heads of frames that the bridge dropped.
    fn witness(&mut self, ingress: PortId, now: Moment) {
        let lost = self.deliveries.lost();
        if self.talkers.on() {
            self.talkers.look(ingress, &self.batch, now);
        }
        if self.captures.any() {
            self.captures.came_in(ingress, &self.batch, lost, &self.bridge);
        }
        let (batch, samples, captures) = (&self.batch, &mut self.samples, &mut self.captures);
        let mut witness = Witness { batch, samples, captures, ingress, now };
        lost.iter().for_each(|lost| witness.lost(*lost));
    }

    /// Tells control of captured frames, if it waits for some.
    fn wake_reader(&mut self) {
        if self.captures.any() && self.captures.is_waited_for() {
            let _ = self.channels.wake_control.wake();
        }
    }

    /// Makes workers that sleep look at what was learned, before they are too far behind.
    fn wake_others(&mut self) {
        if self.bridge.others_are_far_behind() {
            self.channels.others.iter().for_each(|other| drop(other.wake()));
        }
    }

    /// One delivery per egress, each frame in the order of its arrival.
    fn transmit(&mut self, ingress: PortId, now: Moment) {
        let tpid = self.bridge.vlan_tpid();
        let (batch, samples, captures) = (&self.batch, &mut self.samples, &mut self.captures);
        let mut witness = Witness { batch, samples, captures, ingress, now };
        if witness.captures.any() {
            witness.captures.turn_to_egress();
        }
        for (egress, queue) in self.deliveries.iter() {
            let halves = self.ports.get_mut(usize::from(egress.0)).and_then(Option::as_mut);
            let Some(halves) = halves else {
                for &index in queue {
                    self.bridge.refused(egress, DropReason::TxGone);
                    witness.lost(Lost { index, egress: Some(egress), reason: DropReason::TxGone });
                }
                continue;
            };
            let mut place = 0;
            while place < queue.len() {
                let kept = &queue[place..place + self.deliveries.kept(egress, place)];
                let run = halves.tx.send_run(&self.batch, kept);
                self.bridge.sent_whole(egress, run.frames, run.bytes);
                if witness.captures.any() {
                    witness.captures.went_out_whole(egress, batch, &kept[..run.frames]);
                }
                place += run.frames;
                let Some(&index) = queue.get(place) else { break };
                let edit = self.deliveries.edit(egress, place);
                place += 1;
                self.batch.strike_off(usize::from(index));
                // The bridge queues only what parsed.
                let Ok(mut frame) = self.batch.frame(usize::from(index)) else { continue };
                edit.apply(tpid, &mut frame);
                let handed = match run.refused {
                    Some(refusal) => Err(Loss::Refused(refusal)),
                    None => {
                        let tail = self.batch.tail(usize::from(index));
                        self.transmitter.hand_over(halves.tx.as_mut(), &frame, tail)
                    }
                };
                match handed {
                    Ok(segments) => {
                        self.bridge.sent(egress, frame.wire_len(), segments);
                        if witness.captures.any() {
                            witness.captures.went_out(egress, index, &frame);
                        }
                    }
                    Err(loss) => {
                        self.bridge.refused(egress, loss.reason());
                        witness.lost(Lost { index, egress: Some(egress), reason: loss.reason() });
                        if let Loss::Refused(SendError::Refused(errno)) = loss
                            && !std::mem::replace(&mut halves.refusal_told, true)
                        {
                            self.channels.tell(Event::Refused(egress, errno));
                        }
                    }
                }
            }
            halves.tx.flush();
        }
        self.deliveries.clear();
    }

    fn tick(&mut self, now: Moment) {
        if now >= self.next_tick {
            self.bridge.tick(now);
            self.wake_others();
            self.next_tick = now + TICK;
        }
        if self.changed && now >= self.next_look {
            (self.changed, self.next_look) = (false, now + LOOK);
            self.channels.tell(Event::Changed);
        }
        if let Some(watchdog) = &mut self.channels.watchdog {
            watchdog.feed(now);
        }
    }

    fn obey(&mut self, now: Moment) {
        self.bridge.catch_up();
        while let Ok(command) = self.channels.commands.try_recv() {
            match command {
                Command::Attach { port, nth, rx, tx } => {
                    self.attach(port, Halves { rx, tx, nth, refusal_told: false });
                }
                Command::Detach { port } => self.detach(port),
                Command::Remove { port, done } => {
                    self.detach(port);
                    self.samples.forget(port);
                    self.captures.forget(port);
                    self.talkers.forget(port);
                    let _ = done.send(());
                }
                Command::BusyPoll(span) => self.set_busy_poll(span),
                Command::Bridge(question) => question(&mut self.bridge, now),
                Command::Change(change) => self.change(&change),
                // Nobody waits for an answer any more if control has gone.
                Command::Report(reply) => drop(reply.send(self.report())),
                Command::SocketLosses(of, reply) => drop(reply.send(self.socket_losses(of))),
                Command::Pace(reply) => drop(reply.send(self.pace.clone())),
                Command::DroppedFrames(reply) => drop(reply.send(self.samples.iter().copied().collect())),
                Command::Talkers(reply) => drop(reply.send(self.talkers.ask(now))),
                Command::Capture(capture, begun) => {
                    self.captures.add(*capture);
                    let _ = begun.send(());
                }
                Command::CapturePort { id, port } => self.captures.add_port(id, port),
                Command::EndCapture(id, reply) => {
                    let tallies = self.captures.end(id);
                    let _ = reply.map(|reply| reply.send(tallies));
                }
                Command::Stop => self.stopped = true,
            }
        }
    }

    /// Does what all workers do, when all of them have stopped for it; none goes on before all have done it. What any of
    /// them has learned before counts before it.
    fn change(&mut self, change: &Change) {
        change.meet.wait();
        self.bridge.catch_up();
        (change.deed)(&mut self.bridge, change.now);
        change.meet.wait();
    }

    fn attach(&mut self, port: PortId, halves: Halves) {
        let index = usize::from(port.0);
        if let Some(rx) = &halves.rx {
            let fd = rx.fd();
            let registry = self.poll.registry();
            if registry.register(&mut SourceFd(&fd), Token(index), Interest::READABLE).is_err() {
                self.channels.tell(Event::Gone { port, nth: halves.nth });
                return;
            }
        }
        if index >= self.ports.len() {
            self.ports.resize_with(index + 1, || None);
        }
        self.ports[index] = Some(halves);
        self.ready.add(port);
    }

    /// Closes both halves.
    fn detach(&mut self, port: PortId) {
        let Some(halves) = self.ports.get_mut(usize::from(port.0)).and_then(Option::take) else { return };
        if let Some(rx) = halves.rx {
            // A descriptor that epoll has dropped already is what we want.
            let _ = self.poll.registry().deregister(&mut SourceFd(&rx.fd()));
        }
    }

    fn lose(&mut self, port: PortId) {
        let nth = self.ports.get(usize::from(port.0)).and_then(|halves| halves.as_ref()).map(|had| had.nth);
        self.detach(port);
        if let Some(nth) = nth {
            self.channels.tell(Event::Gone { port, nth });
        }
    }

    fn socket_losses(&mut self, of: Option<PortId>) -> Vec<(PortId, u64)> {
        let ports = self.ports.iter_mut().enumerate().map(|(index, halves)| (PortId(index as u16), halves));
        let asked = ports.filter(|(port, _)| of.is_none_or(|of| of == *port));
        let lost = |halves: &mut Option<Halves>| Some(halves.as_mut()?.rx.as_mut()?.kernel_drops());
        asked.map(|(port, halves)| (port, lost(halves).unwrap_or(0))).collect()
    }

    /// The bridge, where nothing is forwarded at the moment.
    pub(crate) fn bridge(&mut self) -> &mut Bridge {
        &mut self.bridge
    }

    fn report(&mut self) -> Report {
        let losses = self.socket_losses(None).into_iter();
        let bridge = &self.bridge;
        let ports = losses.filter_map(|(id, socket_lost)| {
            let settings = bridge.port_settings(id)?;
            Some(PortReport { id, settings, counters: bridge.counters(id).clone(), socket_lost })
        });
        Report {
            ports: ports.collect(),
            settings: *bridge.settings(),
            fdb_len: bridge.fdb_len(),
            fdb_counters: bridge.fdb_counters(),
        }
    }
}

/// What is kept and captured of the frames of one turn.
struct Witness<'a> {
    batch: &'a Batch,
    samples: &'a mut DropSamples,
    captures: &'a mut Captures,
    ingress: PortId,
    now: Moment,
}

impl Witness<'_> {
    fn lost(&mut self, lost: Lost) {
        let index = usize::from(lost.index);
        let (bytes, tag) = self.batch.bytes(index);
        let beginning = Beginning { bytes, tag, wire_len: self.batch.wire_len(index) };
        self.samples.keep(lost, self.ingress, beginning, self.now);
        if let Some(egress) = lost.egress.filter(|_| self.captures.any()) {
            self.captures.lost(egress, lost.index, lost.reason, self.batch);
        }
    }
}
