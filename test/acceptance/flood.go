package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"bellwether/internal/capture"
	"bellwether/internal/gateway"
	"bellwether/internal/packet"
	"bellwether/internal/rehearse"
	"bellwether/internal/simulate"
	"bellwether/internal/zone"
)

// smallBounds is a configuration with small bounds.
const smallBounds = `tables: {hosts: 2048, channels: 4096, sockets: 8192}
devices: {max: 64}
`

// floodPackets is how many made-up packets a flood has.
const floodPackets = 300_000

// flooded floods the learned zone from stations that are made up, and from a
// device with made-up addresses, with the default bounds and with small ones.
func (b *bench) flooded(o *outcome) error {
	o.goal = "memory stays within the configured bound"
	if err := b.learnZone(); err != nil {
		return err
	}
	targets, err := rehearse.Overlays(context.Background(), b.zone.monitoring, b.report.learnedMACs())
	if err != nil {
		return err
	}
	small := filepath.Join(b.dir, "small.yaml")
	if err := os.WriteFile(small, []byte(smallBounds), 0o600); err != nil {
		return err
	}
	tight, err := gateway.ReadConfig(small)
	if err != nil {
		return err
	}
	flood := targets[0]
	flood.Kind, flood.Start, flood.Duration, flood.Rate = simulate.SpoofedFlood, flood.Start.Add(time.Hour), time.Minute, floodPackets/60
	path := filepath.Join(b.dir, "flood.pcap")
	if err := madeUp(path, flood.Start, flood.GatewayMAC); err != nil {
		return err
	}
	if err := b.flood(o, "made-up stations and addresses", path, gateway.Config{}); err != nil {
		return err
	}
	if err := spoofed(path, flood); err != nil {
		return err
	}
	if err := b.flood(o, "a learned device with made-up addresses", path, gateway.Config{}); err != nil {
		return err
	}
	return b.flood(o, "the same with small tables", path, tight, "--config", small)
}

// flood watches a flood with what was learned and holds the memory against the
// configuration's bound.
func (b *bench) flood(o *outcome, what, path string, c gateway.Config, flags ...string) error {
	state, err := b.copyState(b.state)
	if err != nil {
		return err
	}
	r, ran, err := b.replay(state, append([]string{"--watch", path}, flags...)...)
	if err != nil {
		return err
	}
	bound := c.MemoryBound()
	o.need(ran.rss <= bound && len(r.Devices) <= 512, "%s, %d packets: %d MB at most, the configuration's bound is %d MB; %d devices", what, r.Packets, ran.rss>>20, bound>>20, len(r.Devices))
	return nil
}

// madeUp writes a flood in which every packet has a station and an address of
// its own, half of them such as devices have.
func madeUp(path string, at zone.Time, router zone.MAC) error {
	noise := rand.New(rand.NewPCG(1, 2))
	return writeCapture(path, func(write func(zone.Time, []byte) error) error {
		for i := range floodPackets {
			frame := make([]byte, 54)
			copy(frame, router[:])
			r := noise.Uint64()
			copy(frame[6:], []byte{0, 0, 0x5e, byte(r), byte(r >> 8), byte(r >> 16)})
			frame[12] = 8
			copy(frame[14:], []byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6})
			binary.BigEndian.PutUint32(frame[26:], uint32(r>>24))
			if i%2 == 0 {
				frame[26] = 10
			}
			target := netip.AddrFrom4([4]byte{203, 0, 113, 1}).As4()
			copy(frame[30:], target[:])
			binary.BigEndian.PutUint16(frame[34:], uint16(r>>40)|1024)
			frame[37], frame[46], frame[47] = 80, 5<<4, 2
			if err := write(at.Add(time.Duration(i)*200*time.Microsecond), frame); err != nil {
				return err
			}
		}
		return nil
	})
}

func spoofed(path string, flood simulate.Overlay) error {
	return writeCapture(path, func(write func(zone.Time, []byte) error) error {
		for f := range flood.Frames() {
			if err := write(f.Time, f.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeCapture writes a capture of Ethernet frames.
func writeCapture(path string, frames func(write func(zone.Time, []byte) error) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := capture.NewWriter(f, packet.LinkEthernet)
	if err != nil {
		return err
	}
	return frames(func(at zone.Time, data []byte) error {
		return w.Write(capture.Frame{Time: at, Link: packet.LinkEthernet, Data: data, Length: len(data)})
	})
}
