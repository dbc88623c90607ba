package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/durable"
	"bellwether/internal/gateway"
	"bellwether/internal/ledger/fabric/network"
)

func fabricRequestCommand() *cobra.Command {
	var config, name, out string
	c := &cobra.Command{
		Use: "request --config FILE -o FILE", Short: "Write a request for the certificate of the gateway's key",
		Long: `Writes a request (PKCS #10, PEM) that the organisation's authority signs, for the key that
ledger.fabric.key of the configuration names: a file, or a key in a PKCS #11 token, which
never leaves it. The certificate goes where ledger.fabric.cert says; it need not be there yet.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := gateway.ReadConfig(config)
			if err != nil {
				return err
			}
			request, err := gateway.FabricRequest(c, name)
			if err != nil {
				return fmt.Errorf("fabric request: %w", err)
			}
			if err := durable.WriteFile(out, request, 0o644); err != nil {
				return fmt.Errorf("fabric request: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file with ledger.driver: fabric")
	c.MarkFlagRequired("config")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write")
	c.MarkFlagRequired("out")
	c.Flags().StringVar(&name, "name", "gateway", "name of the identity")
	return c
}

func fabricIssueCommand() *cobra.Command {
	var dir, request, out string
	var org int
	var valid time.Duration
	c := &cobra.Command{
		Use: "issue --dir DIR --request FILE -o FILE", Short: "Sign a request for a certificate, in a network of this machine",
		Long: `Has the authority of an organisation of the network in DIR sign what 'fabric request' wrote.
In an existing network its own authority does that.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := network.Open(dir)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(request)
			if err != nil {
				return fmt.Errorf("fabric issue: %w", err)
			}
			cert, err := n.CertifyRequest(org-1, text, time.Now().Add(valid))
			if err != nil {
				return fmt.Errorf("fabric issue: %s: %w", request, err)
			}
			if err := durable.WriteFile(out, cert, 0o644); err != nil {
				return fmt.Errorf("fabric issue: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "directory of the network")
	c.MarkFlagRequired("dir")
	c.Flags().StringVar(&request, "request", "", "file with the request, PEM")
	c.MarkFlagRequired("request")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write")
	c.MarkFlagRequired("out")
	c.Flags().IntVar(&org, "org", 1, "which organisation of the network, from 1")
	c.Flags().DurationVar(&valid, "valid", 365*24*time.Hour, "for how long the certificate holds")
	return c
}
