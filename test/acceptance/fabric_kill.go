package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"bellwether/internal/contract"
	"bellwether/internal/ledger/fabric"
	"bellwether/internal/ledger/fabric/network"
	"bellwether/internal/ledger/ledgertest"
)

// source makes transactions of one device of the suite's zone, one after another.
type source struct{ next uint64 }

// tx gives the next transaction.
func (s *source) tx() ([]byte, error) {
	master := ledgertest.Master()
	pub := [32]byte(master[32:])
	created := ledgertest.Created
	t := contract.Tx{Zone: contract.GroupID(pub[:], created, "test"), Time: created.Add(time.Duration(s.next) * time.Second), Device: ledgertest.Device(0), N: s.next}
	switch s.next {
	case 0:
		t = contract.Tx{Zone: t.Zone, Time: created, N: 1, Body: &contract.ZoneCreated{Name: "test", UseCase: "conformance", Master: pub}}
	case 1:
		t.Body = &contract.DeviceSeen{Name: "lamp"}
	default:
		t.Body = &contract.DeviceRenamed{Name: fmt.Sprint("lamp ", s.next)}
	}
	s.next++
	return t.Sign(master)
}

// write records n transactions, one block each, and notes when each was committed.
func (s *source) write(l *fabric.Ledger, n int, at chan<- time.Time) error {
	defer close(at)
	for range n {
		raw, err := s.tx()
		if err != nil {
			return err
		}
		if err := errors.Join(l.Submit(context.Background(), raw), l.Commit(context.Background())); err != nil {
			return err
		}
		at <- time.Now()
	}
	return nil
}

// killTimes are how long nothing could be committed, of one kind of node.
type killTimes struct {
	kind  string
	times []time.Duration
}

// fabricKilled kills everything that there is in the middle of commits.
func (b *bench) fabricKilled(o *outcome) error {
	rounds := 20
	o.goal = fmt.Sprintf("orderer, peer, chaincode and gateway, each killed %d times in the middle of commits: every block valid once, no gap, no double", rounds)
	raft, err := b.network(network.Options{})
	if err != nil {
		return err
	}
	defer raft.down()
	table, err := b.killNodes(o, raft, []string{"orderer1", "peer-org1", "chaincode-org1"}, rounds, true)
	if err != nil {
		return err
	}
	if err := b.killGateway(o, raft, rounds); err != nil {
		return err
	}
	bft, err := b.network(network.Options{Orderers: network.BFT4})
	if err != nil {
		return err
	}
	defer bft.down()
	// By turns, so that the leader is among them; started again only when the other
	// three have gone on without it.
	found, err := b.killNodes(o, bft, []string{"orderer1", "orderer2", "orderer3", "orderer4"}, rounds/4, false)
	if err != nil {
		return err
	}
	dead := killTimes{kind: "one orderer of four, dead meanwhile"}
	for _, f := range found {
		dead.times = append(dead.times, f.times...)
	}
	lying, err := liars(o)
	if err != nil {
		return err
	}
	o.say("%s", killTable(append(append(table, dead), lying...)))
	return nil
}

// liars runs the test in which one of four orderers lies.
func liars(o *outcome) (table []killTimes, err error) {
	r, err := tested("./internal/ledger/fabric", "TestLiar")
	if err != nil {
		return nil, err
	}
	for name, took := range r.longest {
		d, err := time.ParseDuration(took)
		if err != nil {
			return nil, err
		}
		lie := strings.ReplaceAll(strings.TrimPrefix(name, "TestLiar/"), "_", " ")
		table = append(table, killTimes{"one orderer of four, lying: " + lie, []time.Duration{d}})
	}
	slices.SortFunc(table, func(a, b killTimes) int { return strings.Compare(a.kind, b.kind) })
	o.need(len(r.failed) == 0 && len(table) > 0, "one of four orderers told %d kinds of lies: every block valid once, none changed; %d failed %q", len(table), len(r.failed), r.failed)
	return table, nil
}

func killTable(table []killTimes) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "killed or lying\ttimes\tno commit for, median\tlongest\t")
	for _, k := range table {
		slices.Sort(k.times)
		fmt.Fprintf(t, "%s\t%d\t%.2f s\t%.2f s\t\n", k.kind, len(k.times), k.times[len(k.times)/2].Seconds(), k.times[len(k.times)-1].Seconds())
	}
	t.Flush()
	return strings.TrimRight(text.String(), "\n")
}

// killNodes kills nodes of a network while a ledger writes, restarted at once or
// when the ledger went on.
func (b *bench) killNodes(o *outcome, n *fabricNet, names []string, rounds int, atOnce bool) ([]killTimes, error) {
	c, err := n.connection(network.Chaincode)
	if err != nil {
		return nil, err
	}
	dir, err := b.scratch("ledger")
	if err != nil {
		return nil, err
	}
	l, err := fabric.Open(context.Background(), dir, ledgertest.Master(), fabric.Options{Connection: c})
	if err != nil {
		return nil, err
	}
	var s source
	table := make([]killTimes, len(names))
	for range rounds {
		for i, name := range names {
			gap, err := killWhile(n, l, &s, name, atOnce)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("with %s killed: %w", name, err), l.Close())
			}
			table[i] = killTimes{name, append(table[i].times, gap)}
		}
	}
	height := l.Height()
	if err := l.Close(); err != nil {
		return nil, err
	}
	o.need(height == s.next, "%s: %d blocks were acknowledged, the ledger has %d", strings.Join(names, ", "), s.next, height)
	return table, b.fromChannel(o, dir, c)
}

// killWhile has 12 blocks written and kills a node after the third. It gives the
// longest time between two commits.
func killWhile(n *fabricNet, l *fabric.Ledger, s *source, name string, atOnce bool) (gap time.Duration, err error) {
	at, done := make(chan time.Time, 12), make(chan error, 1)
	go func() { done <- s.write(l, 12, at) }()
	last, count := time.Time{}, 0
	for now := range at {
		if count > 0 {
			gap = max(gap, now.Sub(last))
		}
		last = now
		if count++; count == 3 {
			err = n.Kill(name)
			if atOnce {
				err = errors.Join(err, n.again())
			}
		}
	}
	if err = errors.Join(err, <-done); err != nil || atOnce {
		return gap, err
	}
	if err := n.again(); err != nil {
		return gap, err
	}
	// Until it has caught up, another one would be the second that is away.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return gap, n.Level(ctx)
}

// fromChannel makes the local copy anew and holds the two against each other: so
// every block is valid on the channel once, in order.
func (b *bench) fromChannel(o *outcome, dir string, c fabric.Connection) error {
	fresh, err := b.scratch("ledger")
	if err != nil {
		return err
	}
	l, err := fabric.Open(context.Background(), fresh, ledgertest.Master(), fabric.Options{Connection: c})
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	for _, name := range []string{"blocks.log", "fabric.log"} {
		x, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		y, err := os.ReadFile(filepath.Join(fresh, name))
		if err != nil {
			return err
		}
		o.need(bytes.Equal(x, y), "%s and what the channel gives from its beginning are %s", name, equal(bytes.Equal(x, y)))
	}
	return nil
}

// killGateway kills a replay on Fabric again and again.
func (b *bench) killGateway(o *outcome, n *fabricNet, rounds int) error {
	calmConfig := filepath.Join(b.dir, "hasty.yaml")
	if err := os.WriteFile(calmConfig, []byte(hasty), 0o600); err != nil {
		return err
	}
	calm, err := b.victim(calmConfig, "")
	if err != nil {
		return err
	}
	began := time.Now()
	if done, err := calm.run(time.Hour); err != nil || !done {
		return errors.Join(err, errors.New("a replay that nobody kills was not done"))
	}
	length := time.Since(began)
	noise := rand.New(rand.NewPCG(2, uint64(rounds)))
	sound, killed := 0, 0
	for zones := 0; killed < rounds; zones++ {
		name := fmt.Sprintf("gateway%d", zones)
		if _, err := n.connection(name); err != nil {
			return err
		}
		config, err := b.configuration(n, name, fabricHasty)
		if err != nil {
			return err
		}
		v, err := b.victim(config, calm.state)
		if err != nil {
			return err
		}
		for done := false; !done && killed < rounds; {
			if done, err = v.run(time.Duration(noise.Int64N(int64(length)))); err != nil {
				return err
			}
			if done {
				break
			}
			killed++
			wrong, err := v.check()
			if err != nil {
				return err
			}
			if len(wrong) == 0 {
				sound++
			} else {
				o.need(false, "kill %d of the gateway: %q", killed, wrong)
			}
		}
		if _, err := v.run(time.Hour); err != nil {
			return err
		}
		if err := b.sameLedger(o, v, calm); err != nil {
			return err
		}
	}
	o.need(sound == killed, "%d of %d kills of the gateway, at random moments of a replay of %.1f s, left a sound state with all that was acknowledged; run to its end it came to the same blocks as on one machine",
		sound, killed, length.Seconds())
	return nil
}

// fabricHasty is hasty with its last line open for what the network needs.
var fabricHasty = strings.TrimSuffix(hasty, "ledger: {block_txs: 5}\n") + "ledger:\n  block_txs: 5\n"
