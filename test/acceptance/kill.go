package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

// hasty is a configuration with which a replay trains little and writes often,
// so that kills fall between many writes.
const hasty = `learn: {snapshots: 1000}
detector: {epochs: 1}
store: {segment_rows: 2000}
ledger: {block_txs: 5}
`

// victim is a replay that is killed again and again.
type victim struct {
	b             *bench
	state, alerts string
	config        string
	told          bytes.Buffer // its log until now
}

func (v *victim) args() []string {
	args := append([]string{"replay", "--state", v.state, "--config", v.config, "--log", "debug", "--alerts", v.alerts}, v.b.learnAndWatch()...)
	return args
}

// run starts the replay and kills it after a while; true says that it was done
// before.
func (v *victim) run(while time.Duration) (bool, error) {
	cmd := exec.Command(v.b.binary, v.args()...)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return false, err
	}
	timer := time.AfterFunc(while, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	v.told.Write(log.Bytes())
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("the replay failed by itself: %w: %s", err, log.Bytes())
	}
	return true, nil
}

var stored = regexp.MustCompile(`msg="segment stored".* last_seq=(\d+)`)

// check starts again on what the kill left and says what is wrong.
func (v *victim) check() (wrong []string, err error) {
	ctx := context.Background()
	if _, err := os.Stat(filepath.Join(v.state, "ledger", "blocks.log")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // killed before there was anything
	}
	s, err := gateway.OpenState(ctx, v.state, gateway.StateOptions{Existing: true})
	if err != nil {
		return []string{err.Error()}, nil
	}
	newest := zone.SeqID(0)
	for _, m := range stored.FindAllSubmatch(v.told.Bytes(), -1) {
		n, err := strconv.ParseUint(string(m[1]), 10, 64)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		newest = max(newest, zone.SeqID(n))
	}
	if s.Store.Last() < newest {
		wrong = append(wrong, fmt.Sprintf("SEQ %d was stored, now the store ends with %d", newest, s.Store.Last()))
	}
	lost, err := v.lost(ctx, s)
	wrong = append(wrong, lost...)
	if err := errors.Join(err, s.Close()); err != nil {
		return wrong, err
	}
	r, err := v.b.program("ledger", "verify", "--state", v.state)
	if err == nil && r.code != 0 {
		wrong = append(wrong, "ledger verify: "+r.out.String()+r.err.String())
	}
	return wrong, err
}

// lost finds alerts that were written without a verdict that is on the ledger.
func (v *victim) lost(ctx context.Context, s *gateway.State) (wrong []string, err error) {
	blocks := map[string]uint64{}
	for e, err := range s.Entries(ctx, 0) {
		if err != nil {
			return nil, err
		}
		blocks[e.ID.String()] = e.Block
	}
	raw, err := os.ReadFile(v.alerts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	in := bufio.NewReader(bytes.NewReader(raw))
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return wrong, nil
		}
		var e struct {
			Bellwether struct {
				ID    string `json:"id"`
				HID   string `json:"h_id"`
				Block uint64 `json:"block"`
			}
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, err
		}
		if at, ok := blocks[e.Bellwether.HID]; !ok || at != e.Bellwether.Block {
			wrong = append(wrong, fmt.Sprintf("%s was sent, its verdict is not on the ledger", e.Bellwether.ID))
		}
	}
}

func (b *bench) killed(o *outcome) error {
	o.goal = fmt.Sprintf("after each of %d kills `ledger verify` is clean and nothing acknowledged is missing", b.kills)
	config := filepath.Join(b.dir, "hasty.yaml")
	if err := os.WriteFile(config, []byte(hasty), 0o600); err != nil {
		return err
	}
	calm, err := b.victim(config, "")
	if err != nil {
		return err
	}
	began := time.Now()
	if done, err := calm.run(time.Hour); err != nil || !done {
		return errors.Join(err, errors.New("a replay that nobody kills was not done"))
	}
	length := time.Since(began)
	noise := rand.New(rand.NewPCG(1, uint64(b.kills)))
	v, err := b.victim(config, calm.state)
	if err != nil {
		return err
	}
	sound, segments := 0, 0
	for i := range b.kills {
		while := time.Duration(noise.Int64N(int64(length)))
		done, err := v.run(while)
		if err != nil {
			return err
		}
		wrong, err := v.check()
		if err != nil {
			return err
		}
		if len(wrong) == 0 {
			sound++
		} else {
			o.need(false, "kill %d, after %s: %q", i+1, while, wrong)
		}
		if !done && i%8 != 7 && i != b.kills-1 {
			continue
		}
		if _, err := v.run(time.Hour); err != nil {
			return err
		}
		segments += len(stored.FindAll(v.told.Bytes(), -1))
		if err := b.sameLedger(o, v, calm); err != nil {
			return err
		}
		if v, err = b.victim(config, calm.state); err != nil {
			return err
		}
	}
	o.need(sound == b.kills, "%d of %d kills, at random moments of a replay of %.1f s, left a sound state with all that was acknowledged; %d segments were acknowledged on the way", sound, b.kills, length.Seconds(), segments)
	return nil
}

// victim makes a replay to kill; master, if not empty, lends its key.
func (b *bench) victim(config, master string) (*victim, error) {
	v := &victim{b: b, config: config}
	var err error
	if master == "" {
		v.state, err = b.scratch("state")
	} else {
		v.state, err = b.keyed(master)
	}
	v.alerts = filepath.Join(filepath.Dir(v.state), "alerts.jsonl")
	return v, err
}

func (b *bench) sameLedger(o *outcome, got, want *victim) error {
	for _, pair := range [][2]string{
		{filepath.Join(got.state, "ledger", "blocks.log"), filepath.Join(want.state, "ledger", "blocks.log")}, {got.alerts, want.alerts},
	} {
		x, err := os.ReadFile(pair[0])
		if err != nil {
			return err
		}
		y, err := os.ReadFile(pair[1])
		if err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			o.need(false, "after its kills the replay came to another %s", filepath.Base(pair[0]))
		}
	}
	return os.RemoveAll(filepath.Dir(got.state))
}
