package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"bellwether/internal/contract"
	"bellwether/internal/gateway"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// The goal for what lies between a transaction that ends a standing and the end of
// the session, and how often each is tried.
const (
	endWithin   = 250 * time.Millisecond
	revocations = 50
	verdicts    = 8
)

// sessionsEnd runs the check in a network namespace of its own.
func (b *bench) sessionsEnd(o *outcome) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, stageEnds, b.dir)
	cmd.SysProcAttr, cmd.Stderr = ownNamespace(), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("in the namespace: %w: %s", err, out)
	}
	var told toldOutcome
	err = json.Unmarshal(out, &told)
	o.goal, o.measured, o.holds = told.Goal, told.Measured, told.Holds
	return err
}

// toldOutcome is an outcome that one process tells another.
type toldOutcome struct {
	Goal     string
	Measured []string
	Holds    bool
}

// endsInNamespace is sessionsEnd inside, where the master lives.
func (b *bench) endsInNamespace() error {
	o := outcome{holds: true}
	o.goal = fmt.Sprintf("by a revocation and by a malicious verdict: the session ends with the block, p99 at most %d ms from the transaction to the closed socket; nothing of A stands on the ledger after it; what A said before and after comes to B once and in order", endWithin.Milliseconds())
	if err := b.ends(&o); err != nil {
		o.need(false, "%v", err)
	}
	return json.NewEncoder(os.Stdout).Encode(toldOutcome{o.goal, o.measured, o.holds})
}

// The zone's network: a bridge on the master's side, a cable to each follower.
const (
	bridge     = "zone0"
	masterIP   = "10.77.0.1"
	learnedFor = 2 * time.Minute
)

// memberMACs are the addresses of A's and B's ends of the cables.
var memberMACs = [2]string{"00:17:88:0a:0b:01", "00:17:88:0a:0b:02"}

// layCables makes the bridge, and two namespaces that hang on it.
func layCables() (sides [2]namespace, err error) {
	own := namespace(0)
	for _, args := range []string{"link set lo up", "link add " + bridge + " type bridge", "addr add " + masterIP + "/24 dev " + bridge, "link set " + bridge + " up"} {
		if err := own.ip(args); err != nil {
			return sides, err
		}
	}
	for i, mac := range memberMACs {
		n, err := newNamespace()
		if err != nil {
			return sides, err
		}
		sides[i] = n
		for _, args := range []string{
			fmt.Sprintf("link add port%d type veth peer name cable%d address %s", i, i, mac),
			fmt.Sprintf("link set port%d master %s", i, bridge), fmt.Sprintf("link set port%d up", i),
			fmt.Sprintf("link set cable%d netns /proc/%d/fd/%d", i, os.Getpid(), int(n)),
		} {
			if err := own.ip(args); err != nil {
				return sides, err
			}
		}
		for _, args := range []string{"link set lo up", fmt.Sprintf("addr add 10.77.0.%d/24 dev cable%d", 2+i, i), fmt.Sprintf("link set cable%d up", i)} {
			if err := n.ip(args); err != nil {
				return sides, err
			}
		}
	}
	return sides, nil
}

// ending is the zone of this check.
type ending struct {
	*master
	sides [2]namespace
	a, b  *memberFollower
}

func (b *bench) ends(o *outcome) error {
	e := &ending{}
	var err error
	if e.sides, err = layCables(); err != nil {
		return err
	}
	more := fmt.Sprintf("interface: %s\npromiscuous: true\nlearn: {snapshots: 1000, for: %s}\nquiet: 3s\ndetector: {without: [score]}\n", bridge, learnedFor)
	if e.master, err = b.newMaster(b.binary, serving{listen: masterIP + ":0", more: more}); err != nil {
		return err
	}
	defer func() { killAll(e.master, e.a, e.b) }()
	began := time.Now()
	if e.a, err = e.newFollower(b.follower, "a", e.sides[0], "--mac", memberMACs[0]); err != nil {
		return err
	}
	if e.b, err = e.newFollower(b.follower, "b", e.sides[1], "--mac", memberMACs[1]); err != nil {
		return err
	}
	stop, err := e.lives()
	if err != nil {
		return err
	}
	defer stop()
	apps := [2]*app{newApp(e.a, "b", 50*time.Millisecond), newApp(e.b, "a", 200*time.Millisecond)}
	o.say("three processes in three network namespaces on one bridge: both followers were invited, associated, and talk with each other")
	if err := e.revokedAgain(o); err != nil {
		return err
	}
	if err := e.judgedAgain(o, began); err != nil {
		return err
	}
	return settle(o, apps[0], apps[1])
}

// lives has A and B do what devices do beside being followers: measurements by
// UDP to the master's machine, about 25 each second.
func (e *ending) lives() (stop func(), err error) {
	sink, err := net.ListenPacket("udp", masterIP+":5683")
	if err != nil {
		return nil, err
	}
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := sink.ReadFrom(b)
			if err != nil {
				return
			}
			sink.WriteTo(b[:n/2], from)
		}
	}()
	var conns []net.Conn
	for i, side := range e.sides {
		err := side.do(func() error {
			c, err := net.Dial("udp", masterIP+":5683")
			conns = append(conns, c)
			return err
		})
		if err != nil {
			return nil, err
		}
		noise := rand.New(rand.NewPCG(7, uint64(i)))
		go func() {
			for {
				time.Sleep(time.Duration(20+noise.IntN(40)) * time.Millisecond)
				if _, err := conns[i].Write(make([]byte, 40+noise.IntN(24))); err != nil {
					return
				}
			}
		}()
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
		sink.Close()
	}, nil
}

// entries reads the ledger beside the running master.
func (m *master) entries(use func(gateway.Entry)) error {
	ctx := context.Background()
	s, err := gateway.OpenState(ctx, m.state, gateway.StateOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer s.Close()
	for e, err := range s.Entries(ctx, 0) {
		if err != nil {
			return err
		}
		use(e)
	}
	return nil
}

// moment reads an entry's time.
func moment(e gateway.Entry) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, e.Time)
	return t
}

// closedLine is what a follower says when its socket is closed.
const closedLine = "no connection to the master"

// revokedAgain revokes A again and again while it talks, and lets it come back.
func (e *ending) revokedAgain(o *outcome) error {
	var ordered, closed []time.Time
	told := 0 // by a last frame
	noise := rand.New(rand.NewPCG(8, 8))
	for i := range revocations {
		time.Sleep(time.Duration(noise.Int64N(int64(200 * time.Millisecond))))
		said := e.a.run.said.count()
		ordered = append(ordered, time.Now())
		if _, err := e.command("zone", "revoke", "a"); err != nil {
			return err
		}
		line, err := e.a.run.said.await(said, closedLine, patient)
		if err != nil {
			return fmt.Errorf("revocation %d: %w", i+1, err)
		}
		if strings.Contains(line.text, "the master ended the session: revoked") {
			told++
		}
		closed = append(closed, line.at)
		if _, err := e.command("zone", "release", "a"); err != nil {
			return err
		}
		if _, err := e.a.run.said.await(said, "standing=member", patient); err != nil {
			return fmt.Errorf("after release %d: %w", i+1, err)
		}
	}
	var stood []time.Time
	late, revoked := 0, false
	err := e.entries(func(t gateway.Entry) {
		b, roll := t.Body.(*contract.MemberAction)
		switch {
		case roll && b.Member == "a":
			if revoked = b.Action == contract.ActionRevoke; revoked {
				stood = append(stood, moment(t))
			}
		case t.Member == "a" && revoked:
			late++
		}
	})
	if err != nil {
		return err
	}
	if len(stood) != revocations {
		return fmt.Errorf("%d revocations stand on the ledger, want %d", len(stood), revocations)
	}
	o.need(late == 0, "%d of A's transactions stand behind a revocation and before its release", late)
	fromTx, fromCommand := spread(stood, closed), spread(ordered, closed)
	o.need(fromTx.at(99) <= endWithin, "%d revocations by `bellwether zone revoke`: from the transaction to the closed socket %s", revocations, fromTx)
	o.say("from the start of the command: %s; %d times A had the code of it before its socket was closed", fromCommand, told)
	return nil
}

// durations are sorted.
type durations []time.Duration

// spread gives what lies between moments.
func spread(from, to []time.Time) (d durations) {
	for i := range from {
		d = append(d, to[i].Sub(from[i]))
	}
	slices.Sort(d)
	return d
}

// at gives a percentile.
func (d durations) at(percent int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[min(len(d)-1, (len(d)*percent+99)/100-1+btoi(len(d)*percent == 0))]
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (d durations) sorted() durations { slices.Sort(d); return d }

func (d durations) String() string {
	ms := func(v time.Duration) float64 { return float64(v.Microseconds()) / 1000 }
	if len(d) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, most %.1f ms", ms(d.at(50)), ms(d.at(99)), ms(d[len(d)-1]))
}

// deviceState is what the ledger says of A's device.
func (e *ending) deviceState() (state zone.State) {
	mac, _ := zone.ParseMAC(memberMACs[0])
	s, err := gateway.OpenState(context.Background(), e.state, gateway.StateOptions{ReadOnly: true})
	if err != nil {
		return 0
	}
	defer s.Close()
	d, _, err := contract.ReadDevice(s.Ledger.State(), mac)
	if err != nil {
		return 0
	}
	return d.State
}

// judgedAgain has A attack again and again, once its device is learned.
func (e *ending) judgedAgain(o *outcome, began time.Time) error {
	if err := until("A's device is learned", func() bool { time.Sleep(200 * time.Millisecond); return e.deviceState() == zone.StateWatching }); err != nil {
		return fmt.Errorf("%w: it is %s, and the master says: %s", err, e.deviceState(), e.run.said.last())
	}
	o.say("A's device was learned from its traffic in %.0f s", time.Since(began).Seconds())
	var struck, judged, closed, stood []time.Time
	for i := range verdicts {
		said, master := e.a.run.said.count(), e.run.said.count()
		struck = append(struck, time.Now())
		stop := make(chan struct{})
		strikes := make(chan error, 1)
		go func() { strikes <- e.strike(stop) }()
		line, err := e.a.run.said.await(said, closedLine, patient)
		close(stop)
		if struck := <-strikes; struck != nil {
			return struck
		}
		if err != nil {
			return fmt.Errorf("attack %d: %w", i+1, err)
		}
		verdict, err := e.run.said.await(master, `msg="device malicious" mac=`+memberMACs[0], patient)
		if err != nil {
			return fmt.Errorf("attack %d: %w", i+1, err)
		}
		judged, closed = append(judged, verdict.at), append(closed, line.at)
		if err := e.calms(said); err != nil {
			return fmt.Errorf("after attack %d: %w", i+1, err)
		}
	}
	err := e.entries(func(t gateway.Entry) {
		if b, ok := t.Body.(*contract.VerdictChanged); ok && b.To == zone.StateMalicious && t.Device == memberMACs[0] {
			stood = append(stood, moment(t))
		}
	})
	if err != nil {
		return err
	}
	if len(stood) != verdicts {
		return fmt.Errorf("%d malicious verdicts about A stand on the ledger, want %d", len(stood), verdicts)
	}
	fromVerdict := spread(judged, closed)
	o.need(fromVerdict.at(99) <= endWithin, "%d attacks (%s) from A's namespace: from the verdict to the closed socket %s", verdicts, simulate.MiraiUDPPlain, fromVerdict)
	o.say("from the packet that the verdict's transaction names: %s; from the first packet of the attack: %s", spread(stood, closed), spread(struck, closed))
	return nil
}

// calms waits until A's device is watched again, puts aside what else is held
// against it, and waits until it is back.
func (e *ending) calms(said int) error {
	err := until("A's device is calm again", func() bool { time.Sleep(100 * time.Millisecond); return e.deviceState() == zone.StateWatching })
	if err != nil {
		return err
	}
	e.command("zone", "release", "a") // an error if nothing is
	_, err = e.a.run.said.await(said, "standing=member", patient)
	return err
}

// strike sends an attack from A's namespace, as a Mirai bot would, until stop.
func (e *ending) strike(stop <-chan struct{}) error {
	mac, err := zone.ParseMAC(memberMACs[0])
	if err != nil {
		return err
	}
	gate, err := net.InterfaceByName(bridge)
	if err != nil {
		return err
	}
	wire := 0
	err = e.sides[0].do(func() error {
		i, err := net.InterfaceByName("cable0")
		if err != nil {
			return err
		}
		if wire, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(wire, &unix.SockaddrLinklayer{Ifindex: i.Index})
	})
	if err != nil {
		return err
	}
	defer unix.Close(wire)
	began := zone.TimeOf(time.Now())
	attack := simulate.Overlay{MAC: mac, IP: netip.MustParseAddr("10.77.0.2"), GatewayMAC: zone.MAC(gate.HardwareAddr), Kind: simulate.MiraiUDPPlain, Start: began, Duration: time.Minute, Seed: uint64(began)}
	for f := range attack.Frames() {
		select {
		case <-stop:
			return nil
		case <-time.After(f.Time.Sub(zone.TimeOf(time.Now()))):
		}
		if zone.MAC(f.Data[6:12]) != mac {
			continue // an answer
		}
		if _, err := unix.Write(wire, f.Data); err != nil {
			return fmt.Errorf("attack: %w", err)
		}
	}
	return nil
}
