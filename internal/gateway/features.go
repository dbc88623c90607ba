package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"

	"bellwether/internal/capture"
	"bellwether/internal/feature"
	"bellwether/internal/packet"
	"bellwether/internal/store"
	"bellwether/internal/zone"
)

// Modes of feature extraction.
const (
	ModeNBaIoT    = "nbaiot"     // the 115 features
	ModeKitsunePy = "kitsune-py" // the public Kitsune-py program's 100
)

// Features writes one row of features for each packet of a capture, in order.
type Features struct {
	Capture string
	Mode    string   // "" is ModeNBaIoT
	Device  zone.MAC // only packets that it sent; zero: all
	Format  string   // csv or parquet
	Limits  feature.Limits
	// Progress may be nil.
	Progress func(stage string, done, total int64)
}

// Write writes the table to w. A capture that is damaged is used as far as it
// goes; the rows before the damage are written, and the error says where it is.
// Without a row nothing is written.
func (f Features) Write(ctx context.Context, w io.Writer) (rows uint64, err error) {
	file, err := capture.Open(f.Capture)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	names, extract, err := f.extractor()
	if err != nil {
		return 0, err
	}
	var table *store.Table
	rows, err = f.each(ctx, file, extract, func(row []float64) (err error) {
		if table == nil {
			if table, err = store.NewTable(w, names, f.Format); err != nil {
				return err
			}
		}
		return table.Write(row)
	})
	if table == nil {
		return rows, err
	}
	if closing := table.Close(); closing != nil {
		return rows, errors.Join(err, fmt.Errorf("writing features: %w", closing))
	}
	return rows, err
}

// each writes the rows, up to the capture's end or to where it is damaged.
func (f Features) each(ctx context.Context, file *capture.File, extract func(*packet.Packet, bool) []float64, write func([]float64) error) (uint64, error) {
	var fr capture.Frame
	var p packet.Packet
	rows := uint64(0)
	for n := 0; ; n++ {
		if n%4096 == 0 {
			if ctx.Err() != nil {
				return rows, ctx.Err()
			}
			if f.Progress != nil {
				f.Progress("features", file.Offset(), file.Size())
			}
		}
		err := file.Next(&fr)
		if errors.Is(err, io.EOF) {
			return rows, f.check(n, rows)
		}
		if err != nil {
			return rows, err
		}
		p.Time, p.Length = fr.Time, fr.Length
		packet.Decode(fr.Link, fr.Data, &p)
		wanted := f.Device == (zone.MAC{}) || p.HasMAC && p.SrcMAC == f.Device
		row := extract(&p, wanted)
		if !wanted {
			continue
		}
		if err := write(row); err != nil {
			return rows, fmt.Errorf("writing features: %w", err)
		}
		rows++
	}
}

func (f Features) check(packets int, rows uint64) error {
	if packets == 0 {
		return fmt.Errorf("%s holds no packets", f.Capture)
	}
	if rows == 0 {
		return fmt.Errorf("%s holds %d packets, but none that %s sent", f.Capture, packets, f.Device)
	}
	return nil
}

// extractor gives the columns and the function that makes a row of a packet; the
// row is only needed when wanted.
func (f Features) extractor() ([]string, func(p *packet.Packet, wanted bool) []float64, error) {
	switch f.Mode {
	case "", ModeNBaIoT:
		e, names, row := feature.NewExtractor(f.Limits), feature.Names(), feature.Vector{}
		return names[:], func(p *packet.Packet, wanted bool) []float64 {
			if !wanted {
				e.Update(p, nil)
				return nil
			}
			e.Update(p, &row)
			return row[:]
		}, nil
	case ModeKitsunePy:
		e, names, row := feature.NewKitsunePy(), feature.KitsuneNames(), [100]float64{}
		return names[:], func(p *packet.Packet, _ bool) []float64 {
			e.Update(p, &row)
			return row[:]
		}, nil
	}
	return nil, nil, fmt.Errorf("mode %q is not known: want %s or %s", f.Mode, ModeNBaIoT, ModeKitsunePy)
}
