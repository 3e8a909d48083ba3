package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/wabastream/wabastream/client"
)

const (
	defaultPort = "9090"
	defaultAddr = "127.0.0.1:" + defaultPort

	// retryMin and retryMax bound the wait between two attempts. Somebody may be
	// looking on, so it is shorter than the SDK's.
	retryMin = 100 * time.Millisecond
	retryMax = 2 * time.Second
)

// connection is how to reach a server, as flags, environment and profile say.
type connection struct {
	profile, addr, tokenFile, caFile string
	tls, insecure                    bool
}

func (c *connection) addFlags(cmd *cobra.Command, con *console) {
	flags := cmd.Flags()
	flags.StringVar(&c.addr, "addr", "", "gRPC address of the server, port "+defaultPort+" unless it names one (default: WABASTREAM_ADDR, else the profile's, else "+defaultAddr+")")
	addProfileFlag(cmd, con, &c.profile)
	c.addSecurityFlags(cmd)
}

// addSecurityFlags adds the flags that say how to reach an address.
func (c *connection) addSecurityFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.tokenFile, "token-file", "", "for servers that ask for one: file with the bearer token, read for each call (default: the token in WABASTREAM_TOKEN, if any)")
	flags.BoolVar(&c.tls, "tls", false, "use TLS also for an address of this machine; any other address always gets it")
	flags.StringVar(&c.caFile, "ca-file", "", "PEM file of the certificate authorities to trust instead of the system's; implies --tls")
	flags.BoolVar(&c.insecure, "insecure", false, "use no TLS: whoever is on the way can read and change everything")
	completeNothing(cmd, "addr")
}

// dial makes a client; it settles c.addr.
func (c *connection) dial(con *console) (*client.Client, error) {
	chosen, err := chooseProfile(con, c.addr, envAddr, c.profile)
	if err != nil {
		return nil, err
	}
	c.take(chosen)
	c.addr = withPort(cmp.Or(c.addr, con.env(envAddr), defaultAddr))
	options, err := c.options(con.env)
	if err != nil {
		return nil, err
	}
	made, err := client.New(c.addr, options...)
	if err != nil {
		return nil, usageError{err}
	}
	return made, nil
}

// take completes the flags from a profile, if there is one. A flag wins; any flag
// about TLS wins over everything that the profile says about it.
func (c *connection) take(p *profile) {
	if p == nil {
		return
	}
	c.addr = p.Addr
	c.tokenFile = cmp.Or(c.tokenFile, p.TokenFile)
	if !c.tls && !c.insecure && c.caFile == "" {
		c.tls, c.insecure, c.caFile = p.TLS, p.Insecure, p.CAFile
	}
}

// withPort adds the default port to a host without one: grpc-go would take 443.
// What is not a host and a port, such as a Unix socket, stays as it is.
func withPort(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && port == "" {
		return net.JoinHostPort(host, defaultPort)
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	if _, notIP := netip.ParseAddr(bare); notIP == nil || !strings.ContainsAny(addr, ":/") {
		return net.JoinHostPort(bare, defaultPort)
	}
	return addr
}

// noTLS is the error of a server that speaks no TLS.
func (c *connection) noTLS(wanted string) error {
	return codedError{fmt.Errorf("no %s from %s: %s", wanted, c.addr, c.noTLSHint()), exitUnreachable}
}

// noTLSHint says what to do about a server that speaks no TLS.
func (c *connection) noTLSHint() string {
	hint := "the server there speaks no TLS: give --insecure"
	switch {
	case c.caFile != "":
		hint += " instead of --ca-file"
	case c.tls:
		hint += " instead of --tls"
	}
	return hint + " if the network is safe"
}

// explain says what did not happen and why.
func (c *connection) explain(what string, err error) error {
	if errors.Is(err, &client.Error{Reason: client.ReasonNoTLS}) {
		return c.noTLS("answer")
	}
	if hint := unreachableHint(err); hint != "" {
		return fmt.Errorf("%s from %s: %w; %s", what, c.addr, err, hint)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// unreachableHint says what to do where no server of ours answered; empty if one did.
func unreachableHint(err error) string {
	refused, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok || refused.Code != codes.Unavailable || refused.Reason != "":
		return ""
	case strings.Contains(err.Error(), "looked like an HTTP/1.1 header"): // the transport's words
		return "that is an address of HTTP, and gRPC's is wanted, with port " + defaultPort + " unless the server says another"
	default:
		return "is a server running there? --addr or WABASTREAM_ADDR name another"
	}
}

func (c *connection) options(env func(string) string) ([]client.Option, error) {
	options := []client.Option{client.WithBackoff(retryMin, retryMax)}
	switch {
	case c.insecure && (c.tls || c.caFile != ""):
		return nil, usagef("--insecure excludes --tls and --ca-file")
	case c.insecure:
		options = append(options, client.WithInsecure())
	case c.caFile != "":
		roots, err := readRoots(c.caFile)
		if err != nil {
			return nil, err
		}
		options = append(options, client.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	case c.tls:
		options = append(options, client.WithTransportCredentials(credentials.NewTLS(nil)))
	}
	if token := env("WABASTREAM_TOKEN"); c.tokenFile != "" {
		options = append(options, client.WithTokenSource(c.readToken))
	} else if token != "" {
		options = append(options, client.WithToken(token))
	}
	return options, nil
}

// readToken reads the file for each call, so that a token that is replaced in
// time never expires for a running command.
func (c *connection) readToken(context.Context) (string, error) {
	token, err := os.ReadFile(c.tokenFile)
	return string(token), err
}

func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // whoever runs the command names it
	if err != nil {
		return nil, fmt.Errorf("read --ca-file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file %s holds no PEM certificate", file)
	}
	return roots, nil
}
