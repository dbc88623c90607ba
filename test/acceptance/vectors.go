package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"bellwether/internal/capture"
	"bellwether/internal/feature"
	"bellwether/internal/packet"
	"bellwether/internal/zone"
)

// vectorFile is a file of hand-made packets and their features.
type vectorFile struct {
	Packets []vectorPacket `json:"packets"`
	Kitsune [][]float64    `json:"kitsune100"`
	NBaIoT  [][]float64    `json:"nbaiot115_channel"`
}

type vectorPacket struct {
	T                  float64
	Len                int
	SrcMAC, DstMAC     string
	SrcIP, DstIP       string
	SrcProto, DstProto string
	IPType             *int
}

// near is the tolerance of the definition.
func near(got, want float64) bool {
	return math.Abs(got-want) <= max(5e-5, 1e-6*math.Abs(want))
}

func rowNear(got, want []float64) bool {
	for i := range want {
		if !near(got[i], want[i]) {
			return false
		}
	}
	return len(got) == len(want)
}

func (b *bench) vectors(o *outcome) error {
	o.goal = "34 of 35 packets in N-BaIoT mode, 35 of 35 and 2,000 of 2,000 in kitsune-py mode"
	files, err := filepath.Glob(filepath.Join(b.data, "kitsune", "*.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := b.handMade(o, f); err != nil {
			return err
		}
	}
	golden, err := b.golden(o)
	if err != nil {
		return err
	}
	o.need(len(files) > 0 && golden > 0, "%d files of vectors, %d captures with a table of features", len(files), golden)
	return nil
}

func (b *bench) handMade(o *outcome, path string) error {
	var f vectorFile
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		return err
	}
	e, k := feature.NewExtractor(feature.Limits{}), feature.NewKitsunePy()
	nbaiot, kitsune := 0, 0
	for i := range f.Packets {
		p, err := f.Packets[i].packet()
		if err != nil {
			return fmt.Errorf("%s, packet %d: %w", path, i, err)
		}
		var v feature.Vector
		var w [feature.KitsuneCount]float64
		e.Update(p, &v)
		k.Update(p, &w)
		if rowNear(v[:], f.NBaIoT[i]) {
			nbaiot++
		}
		if rowNear(w[:], f.Kitsune[i]) {
			kitsune++
		}
	}
	n := len(f.Packets)
	o.need(n > 0 && nbaiot >= n-1, "%d of %d packets in N-BaIoT mode", nbaiot, n)
	o.need(n > 0 && kitsune == n, "%d of %d packets in kitsune-py mode", kitsune, n)
	return nil
}

// packet gives the vector's packet as the decoder would have.
func (v *vectorPacket) packet() (*packet.Packet, error) {
	p := &packet.Packet{Time: zone.Time(math.Round(v.T*1e6)) * 1000, Length: v.Len, HasMAC: true, EtherType: 0x88cc}
	var err error
	if p.SrcMAC, err = zone.ParseMAC(v.SrcMAC); err != nil {
		return nil, err
	}
	if p.DstMAC, err = zone.ParseMAC(v.DstMAC); err != nil || v.IPType == nil {
		return p, err
	}
	if p.Src, err = netip.ParseAddr(v.SrcIP); err != nil {
		return nil, err
	}
	if p.Dst, err = netip.ParseAddr(v.DstIP); err != nil {
		return nil, err
	}
	p.Kind, p.EtherType = packet.KindIPv4, 0x0800
	if p.Src.Is6() {
		p.Kind, p.EtherType = packet.KindIPv6, 0x86dd
	}
	switch v.SrcProto {
	case "":
		p.Proto = 2
	case "arp":
		p.Kind, p.EtherType = packet.KindARP, 0x0806
	case "icmp":
		p.Proto = 1
	default:
		src, err := strconv.ParseUint(v.SrcProto, 10, 16)
		if err != nil {
			return nil, err
		}
		dst, err := strconv.ParseUint(v.DstProto, 10, 16)
		p.Proto, p.HasPorts, p.SrcPort, p.DstPort = 6, true, uint16(src), uint16(dst)
		return p, err
	}
	return p, nil
}

// golden compares every capture with the table that has one row for each of
// its packets.
func (b *bench) golden(o *outcome) (int, error) {
	tables, err := filepath.Glob(filepath.Join(b.data, "kitsune", "*.csv"))
	if err != nil {
		return 0, err
	}
	captures, err := filepath.Glob(filepath.Join(b.data, "kitsune", "*.pcap*"))
	if err != nil {
		return 0, err
	}
	found := 0
	for _, t := range tables {
		want, err := readTable(t)
		if err != nil {
			return found, err
		}
		for _, c := range captures {
			got, err := kitsuneRows(c)
			if err != nil || len(got) != len(want) {
				continue
			}
			found++
			rows, values := 0, 0
			for i := range want {
				if rowNear(got[i], want[i]) {
					rows++
				}
				for c := range want[i] {
					if !near(got[i][c], want[i][c]) {
						values++
					}
				}
			}
			o.need(rows == len(want), "%d of %d packets of a real capture in kitsune-py mode; %d of %d values differ", rows, len(want), values, len(want)*feature.KitsuneCount)
		}
	}
	return found, nil
}

// readTable reads a table of numbers, with or without a header.
func readTable(path string) ([][]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var out [][]float64
	for i, r := range records {
		row := make([]float64, len(r))
		for c, text := range r {
			if row[c], err = strconv.ParseFloat(text, 64); err != nil {
				break
			}
		}
		if err != nil && i > 0 {
			return nil, fmt.Errorf("%s, line %d: %w", path, i+1, err)
		}
		if err == nil {
			out = append(out, row)
		}
	}
	return out, nil
}

func kitsuneRows(path string) ([][]float64, error) {
	f, err := capture.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	k := feature.NewKitsunePy()
	var fr capture.Frame
	var p packet.Packet
	var out [][]float64
	for {
		err := f.Next(&fr)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		p.Time, p.Length = fr.Time, fr.Length
		packet.Decode(fr.Link, fr.Data, &p)
		var row [feature.KitsuneCount]float64
		k.Update(&p, &row)
		out = append(out, row[:])
	}
}
