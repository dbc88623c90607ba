package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"bellwether/internal/gateway"
	"bellwether/internal/zone"
)

func featuresCommand() *cobra.Command {
	var mode, device, output string
	c := &cobra.Command{
		Use:   "features CAPTURE",
		Short: "Write the traffic features of a capture as a table",
		Long: `Writes one row of traffic features for each packet of the capture, in order, under the
header of the N-BaIoT data set: 115 columns, or in mode kitsune-py the 100 columns of
the public Kitsune-py program, with its quirks.`,
		Example: `  bellwether features home.pcap -o home.csv
  bellwether features home.pcap --device 64:16:66:49:3e:cb -o camera.parquet`,
		Args: exactly(1, "one CAPTURE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := gateway.Features{Capture: args[0], Mode: mode, Format: "csv", Progress: newBar().draw}
			if mode != gateway.ModeNBaIoT && mode != gateway.ModeKitsunePy {
				return usageError{fmt.Errorf("--mode is %q: want %s or %s", mode, gateway.ModeNBaIoT, gateway.ModeKitsunePy)}
			}
			if strings.HasSuffix(output, ".parquet") {
				f.Format = "parquet"
			}
			if device != "" {
				m, err := zone.ParseMAC(device)
				if err != nil {
					return usageError{fmt.Errorf("--device: %w", err)}
				}
				f.Device = m
			}
			if err := different(args[0], output); err != nil {
				return err
			}
			return writeTo(output, func(w io.Writer) error {
				_, err := f.Write(cmd.Context(), w)
				return err
			})
		},
	}
	c.Flags().StringVar(&mode, "mode", gateway.ModeNBaIoT, "nbaiot (115 columns) or kitsune-py (100 columns)")
	c.Flags().StringVar(&device, "device", "", "only packets that this MAC address sent")
	c.Flags().StringVarP(&output, "output", "o", "", "file to write, .csv or .parquet (default: CSV on standard output)")
	return c
}

// writeTo lets f write a file, or standard output for "" and "-". An existing
// file is replaced when the first byte is written, not before; what was written
// before an error stays.
func writeTo(path string, f func(io.Writer) error) error {
	if path == "" || path == "-" {
		return f(os.Stdout)
	}
	out := &lateFile{path: path}
	err := f(out)
	if out.f == nil {
		return err
	}
	return errors.Join(err, out.f.Close())
}

// lateFile is a file that is made when something is written to it.
type lateFile struct {
	path string
	f    *os.File
}

func (l *lateFile) Write(b []byte) (n int, err error) {
	if l.f == nil {
		if l.f, err = os.Create(l.path); err != nil {
			return 0, err
		}
	}
	return l.f.Write(b)
}

// different refuses to write over what is read.
func different(in, out string) error {
	a, err := os.Stat(in)
	if err != nil {
		return nil // whoever opens it says why
	}
	if b, err := os.Stat(out); err == nil && os.SameFile(a, b) {
		return usageError{fmt.Errorf("%s is both read and written: give another file to write", in)}
	}
	return nil
}
