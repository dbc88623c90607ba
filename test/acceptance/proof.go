package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"bellwether/internal/identity"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/proof"
	"bellwether/internal/simulate"
)

// leaf is a value in a bundle's file: bytes from to until.
type leaf struct{ from, until int }

// leaves finds every string, number and boolean of a JSON text that is a value.
func leaves(raw []byte) ([]leaf, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var out []leaf
	var inObject []bool // of each open bracket
	key := false        // the next string in an object is a key
	for {
		before := int(dec.InputOffset())
		token, err := dec.Token()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		object := len(inObject) > 0 && inObject[len(inObject)-1]
		switch d, isDelim := token.(json.Delim); {
		case isDelim && (d == '{' || d == '['):
			inObject = append(inObject, d == '{')
			key = d == '{'
			continue
		case isDelim:
			inObject = inObject[:len(inObject)-1]
			key = len(inObject) > 0 && inObject[len(inObject)-1]
			continue
		case object && key:
			key = false
			continue
		}
		until := int(dec.InputOffset())
		from := before + bytes.IndexFunc(raw[before:until], func(r rune) bool { return !strings.ContainsRune(" \n\t:,", r) })
		out = append(out, leaf{from, until})
		key = object
	}
}

// changed gives the text with another value in the leaf's place.
func (l leaf) changed(raw []byte) []byte {
	out := bytes.Clone(raw)
	for i := (l.from + l.until) / 2; i < l.until; i++ {
		switch c := out[i]; {
		case c >= '0' && c <= '8' || c >= 'a' && c <= 'e' || c >= 'A' && c <= 'Y':
			out[i]++
			return out
		case c == '9':
			out[i] = '1'
			return out
		}
	}
	return append(append(out[:l.from:l.from], []byte(`"changed"`)...), raw[l.until:]...)
}

// provoking are attacks that are found by different kinds of evidence.
func provoking() []string {
	return []string{simulate.MiraiScan, simulate.MiraiUDPPlain, simulate.SpoofedFlood}
}

func (b *bench) proven(o *outcome) error {
	o.goal = "a bundle verifies in an empty directory with the program and the anchor alone; every changed field fails, by name"
	if err := b.learnZone(); err != nil {
		return err
	}
	_, _, dir, err := b.rehearse("--attack", strings.Join(provoking(), ","), "--keep")
	if err != nil {
		return err
	}
	seen := map[string]bool{} // one alert of each kind
	for _, attack := range provoking() {
		state, err := b.copyState(b.state)
		if err != nil {
			return err
		}
		r, _, err := b.replay(state, "--watch", filepath.Join(dir, attack+"-1.pcap"))
		if err != nil {
			return err
		}
		if err := b.proveNew(o, state, &r, seen, ""); err != nil {
			return err
		}
	}
	o.need(seen["score"] && len(seen) > 1, "%d kinds of alert were proven", len(seen))
	return nil
}

// proveNew proves one alert of each kind that was not seen before, of a zone on
// Fabric also by the channel whose configuration block is in that file.
func (b *bench) proveNew(o *outcome, state string, r *report, seen map[string]bool, channel string) error {
	for _, d := range r.Devices {
		for _, a := range d.Alerts {
			if seen[a.Kind] {
				continue
			}
			seen[a.Kind] = true
			if err := b.prove(o, state, a.ID, channel); err != nil {
				return err
			}
		}
	}
	return nil
}

// prove proves one alert, verifies the bundle elsewhere and changes all of it.
func (b *bench) prove(o *outcome, state, id, channel string) error {
	empty := filepath.Join(b.dir, id)
	if err := os.Mkdir(empty, 0o700); err != nil {
		return err
	}
	if err := copyFile(b.binary, filepath.Join(empty, "bellwether")); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(empty, "bellwether"), 0o700); err != nil {
		return err
	}
	bundle := filepath.Join(empty, "alert.proof")
	made, err := b.must("prove", id, "--state", state, "-o", bundle)
	if err != nil {
		return err
	}
	text := made.err.String()
	anchor := strings.TrimSpace(text[strings.LastIndex(text, ": ")+2:])
	args := []string{"verify", "alert.proof", "--anchor", anchor}
	if channel != "" {
		if err := copyFile(channel, filepath.Join(empty, "channel.block")); err != nil {
			return err
		}
		args = append(args, "--channel", "channel.block")
	}
	cmd := exec.Command("./bellwether", args...)
	cmd.Dir, cmd.Env = empty, []string{}
	said, err := cmd.CombinedOutput()
	o.need(err == nil, "%s verified in an empty directory, with no environment (%v):\n%s", id, err, bytes.TrimSpace(said))
	raw, err := os.ReadFile(bundle)
	if err != nil {
		return err
	}
	_, key, err := identity.ParseAnchor(anchor)
	if err != nil {
		return err
	}
	if channel == "" {
		return changeAll(o, raw, key, nil)
	}
	config, err := os.ReadFile(channel)
	if err != nil {
		return err
	}
	c, err := evidence.ParseChannel(config)
	if err != nil {
		return err
	}
	if err := changeEvidence(o, raw, key, c); err != nil {
		return err
	}
	return changeAll(o, raw, key, c)
}

// changeEvidence changes bytes all over what the channel signed, one at a time.
func changeEvidence(o *outcome, raw []byte, key ed25519.PublicKey, c *evidence.Channel) error {
	b, err := proof.Parse(raw)
	if err != nil {
		return err
	}
	tried, named := 0, 0
	for k, piece := range b.Channel.Evidence {
		for i := 0; i < len(piece); i += 1 + len(piece)/50 {
			piece[i] ^= 1
			_, err := proof.Verify(b, key, c)
			piece[i] ^= 1
			tried++
			if field := (*proof.FieldError)(nil); errors.As(err, &field) && field.Field == fmt.Sprintf("channel.evidence[%d]", k) {
				named++
			}
		}
	}
	o.need(tried > 100 && named == tried, "%d bytes of the channel's evidence changed, one at a time: %d failed with the piece's name", tried, named)
	return nil
}

// changeAll changes every value of a bundle, one at a time.
func changeAll(o *outcome, raw []byte, key ed25519.PublicKey, c *evidence.Channel) error {
	all, err := leaves(raw)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	named, passed := 0, 0
	limit := make(chan struct{}, 4)
	for _, l := range all {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			b, err := proof.Parse(l.changed(raw))
			if err == nil {
				_, err = proof.Verify(b, key, c)
			}
			var field *proof.FieldError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				passed++
			case errors.As(err, &field) && field.Field != "":
				named++
			}
		})
	}
	wg.Wait()
	o.need(len(all) > 200 && passed == 0 && named == len(all), "%d bytes, %d values changed one at a time: %d failed with the name of a field, %d passed", len(raw), len(all), named, passed)
	return nil
}
