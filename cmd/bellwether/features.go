package main

import (
	"fmt"
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
			return writeTo(output, func(w *os.File) error {
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

// writeTo lets f write a file, or standard output for "" and "-". What was
// written before an error stays.
func writeTo(path string, f func(*os.File) error) (err error) {
	if path == "" || path == "-" {
		return f(os.Stdout)
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closing := out.Close(); err == nil {
			err = closing
		}
	}()
	return f(out)
}
