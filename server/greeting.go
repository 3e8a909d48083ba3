package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wabastream/wabastream/server/internal/app"
)

// greeting says where the server is and shows two commands that work as pasted.
func greeting(config app.Config, addrs app.Addrs) string {
	var b strings.Builder
	fmt.Fprintf(&b, "wabastreamd %s\n\n", version())
	fmt.Fprintf(&b, "  callbacks  %s://%s/webhooks/{source}\n", scheme(config.HTTPTLSCertFile), addrs.HTTP)
	fmt.Fprintf(&b, "  REST       %s://%s/v1/log  (/docs, /readyz, /metrics)\n", scheme(config.TLSCertFile), addrs.API)
	fmt.Fprintf(&b, "  gRPC       %s%s\n", addrs.GRPC, admits(config))
	fmt.Fprintf(&b, "  data       %s\n", absolute(config.DataDir))
	fmt.Fprintf(&b, "  keeps      %s\n", keeps(config))
	fmt.Fprintf(&b, "  process    %d\n", os.Getpid())
	for _, s := range config.Sources {
		fmt.Fprintf(&b, "  source     %s\n", describe(s))
	}
	if s, ok := unsignedSource(config.Sources); ok {
		fmt.Fprintf(&b, "\nPost a callback:\n\n  curl -i %s://%s/webhooks/%s -H 'Content-Type: application/json' \\\n"+
			`    -d '{"field":"account_update","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE","waba_ban_date":"October 22, 2025"},"wabaId":"1618074075500491","business_phone":"15557902885","time":1761200607}}'`+"\n",
			scheme(config.HTTPTLSCertFile), addrs.HTTP, s.Name)
	}
	fmt.Fprintf(&b, "\nStream every event there is and that comes (add \"filters\":[{\"waba_ids\":[\"1618074075500491\"]}] for one account):\n\n"+
		"  grpcurl %s -d '{\"position\":\"START_POSITION_EARLIEST\"}' %s wabastream.v1.EventService/Subscribe\n\n", grpcurlFlags(config), addrs.GRPC)
	return b.String()
}

// scheme is how a listener with that certificate is spoken to.
func scheme(certFile string) string {
	if certFile == "" {
		return "http"
	}
	return "https"
}

// admits says whom gRPC and REST let in, if not everyone.
func admits(config app.Config) string {
	switch {
	case config.AccessFile != "" && config.TLSClientCAFile != "":
		return "  (TLS, with a token or a client certificate)"
	case config.AccessFile != "" && config.TLSCertFile != "":
		return "  (TLS, with a token)"
	case config.AccessFile != "":
		return "  (with a token)"
	case config.TLSClientCAFile != "":
		return "  (TLS, with a client certificate)"
	case config.TLSCertFile != "":
		return "  (TLS)"
	default:
		return ""
	}
}

func grpcurlFlags(config app.Config) string {
	flags := "-plaintext"
	switch {
	case config.TLSClientCAFile != "" && config.AccessFile == "":
		flags = "-cacert ca.pem -cert client.crt -key client.key"
	case config.TLSCertFile != "":
		flags = "-cacert ca.pem"
	}
	if config.AccessFile != "" {
		flags += " -H 'authorization: Bearer TOKEN'"
	}
	return flags
}

// absolute says where a relative folder is: it depends on where the server was
// started.
func absolute(dir string) string {
	if path, err := filepath.Abs(dir); err == nil {
		return path
	}
	return dir
}

// keeps says what retention leaves.
func keeps(config app.Config) string {
	all := limitsOf(config.RetentionAge, config.RetentionBytes)
	switch {
	case all == "" && len(config.RetentionTypes) == 0:
		return "every event, for ever (retention_age, retention_bytes, retention_types)"
	case all == "":
		all = "every event"
	}
	rules := []string{all}
	for _, r := range config.RetentionTypes {
		rules = append(rules, "of "+strings.Join(r.Types, " and ")+" "+limitsOf(r.Age, r.Bytes))
	}
	return strings.Join(rules, "; ")
}

func limitsOf(age time.Duration, bytes uint64) string {
	var limits []string
	if age > 0 {
		limits = append(limits, "events of the last "+age.String())
	}
	if bytes > 0 {
		limits = append(limits, fmt.Sprintf("at most %d bytes", bytes))
	}
	return strings.Join(limits, ", ")
}

func describe(s app.SourceConfig) string {
	parts := []string{fmt.Sprintf("%d access keys", len(s.AccessKeys))}
	if len(s.AccessKeys) == 1 {
		parts[0] = "1 access key"
	}
	if s.AllowUnsigned {
		parts = append(parts, "accepts unsigned callbacks")
	}
	if len(s.Discard) > 0 {
		parts = append(parts, "discards "+strings.Join(s.Discard, " "))
	}
	return s.Name + ": " + strings.Join(parts, ", ")
}

func unsignedSource(sources []app.SourceConfig) (app.SourceConfig, bool) {
	for _, s := range sources {
		if s.AllowUnsigned {
			return s, true
		}
	}
	return app.SourceConfig{}, false
}
