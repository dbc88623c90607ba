package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/evaluate"
)

func evaluateCommand() *cobra.Command {
	return group("evaluate", "Run the paper's experiment and report it", evaluateNBaIoTCommand(), evaluateCapturesCommand())
}

// experimentFlags adds the flags that every experiment has.
func experimentFlags(c *cobra.Command, o *evaluate.Options, out *string) {
	f := c.Flags()
	f.StringVar(out, "out", "", "directory for the report")
	c.MarkFlagRequired("out")
	f.StringSliceVar(&o.Algorithms, "algorithms", nil, "some of "+strings.Join(evaluate.Algorithms(), ", ")+" (default all)")
	f.Float64Var(&o.Alarms, "alarms", 1, "false alarms a week that a device may have")
	f.Float64Var(&o.Alpha, "alpha", 0.001, "share of benign rows above the conformal threshold")
}

// experiment runs it, with its progress, and writes and prints the report.
func experiment(ctx context.Context, devices []evaluate.Device, o evaluate.Options, out string) error {
	o.Now, o.Machine = time.Now, machine()
	b := newBar()
	o.Progress = func(done, total int64) { b.draw("evaluate", done, total) }
	result, err := evaluate.Run(ctx, devices, o)
	b.clear()
	if err != nil {
		return err
	}
	if err := result.Write(out); err != nil {
		return err
	}
	printOverview(result)
	fmt.Printf("\nThe whole report: %s/report.html\n", out)
	return nil
}

// printOverview writes the means of the paper's rule and of the calm one.
func printOverview(r *evaluate.Result) {
	fmt.Printf("%-17s %-40s %9s %9s %11s %11s\n", "algorithm", "threshold", "row TPR", "row FPR", "window TPR", "window FPR")
	for _, m := range r.Overview() {
		fmt.Printf("%-17s %-40s %9s %9s %11s %11s\n", m.Algorithm, m.Rule,
			percent(m.RowTPR), percent(m.RowFPR), percent(m.WindowTPR), percent(m.WindowFPR))
	}
}

func percent(e evaluate.Estimate) string {
	if mean := e.Mean(); mean == mean {
		return fmt.Sprintf("%.2f %%", 100*mean)
	}
	return "-"
}

// machine says where this runs.
func machine() evaluate.Machine {
	m := evaluate.Machine{
		Processor: "unknown processor", System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Version: "(devel)", Cores: runtime.NumCPU(),
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		m.Version = info.Main.Version
	}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ":")
		if key = strings.TrimSpace(key); key == "model name" || key == "Model" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	return m
}
