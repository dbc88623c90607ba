// Bellwether-follower is a member of a zone on a small machine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"bellwether/internal/follower/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := command.Program{Name: "bellwether-follower", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(p.Main(ctx, os.Args[1:]))
}
