package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/wabastream/wabastream/server/internal/certs"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// pairs are the certificates of the listeners; nil where one speaks plaintext.
type pairs struct {
	provider *certs.Source // of http_addr
	insiders *certs.Source // of api_addr and grpc_addr
}

// loadCertificates reads what is configured: one that cannot be used ends the start.
func (a *App) loadCertificates() error {
	var err error
	c := a.config
	if c.HTTPTLSCertFile != "" {
		if a.certs.provider, err = a.newCertificates(certs.Config{CertFile: c.HTTPTLSCertFile, KeyFile: c.HTTPTLSKeyFile}); err != nil {
			return fmt.Errorf("http_tls_cert_file, http_tls_key_file: %w", err)
		}
	}
	if c.TLSCertFile != "" {
		// A file has one gauge, also where both pairs are the same.
		if a.certs.insiders, err = a.newCertificates(certs.Config{CertFile: c.TLSCertFile, KeyFile: c.TLSKeyFile, ClientCAFile: c.TLSClientCAFile}); err != nil {
			return fmt.Errorf("tls_cert_file, tls_key_file, tls_client_ca_file: %w", err)
		}
	}
	return nil
}

// newCertificates loads a pair and looks for new files until the server closes.
func (a *App) newCertificates(config certs.Config) (*certs.Source, error) {
	config.Logger = a.logger.With("component", "tls")
	config.Registerer = a.registry
	source, err := certs.New(config)
	if err != nil {
		return nil, err
	}
	a.inBackground("stop looking for certificates", source.Run)
	return source, nil
}

// clientAuth is what insiders have to show.
func (c Config) clientAuth() certs.ClientAuth {
	switch {
	case c.TLSClientCAFile == "":
		return certs.NoClientCertificates
	case c.AccessFile != "":
		return certs.OptionalClientCertificates // a token does as well
	default:
		return certs.RequiredClientCertificates
	}
}

// httpTLS is how an HTTP listener speaks; nil is plaintext.
func httpTLS(source *certs.Source, auth certs.ClientAuth) (*tls.Config, error) {
	if source == nil {
		return nil, nil
	}
	return source.Server(auth, "h2", "http/1.1")
}

// serveOn serves with what TLSConfig says.
func serveOn(s *http.Server, l net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

// grpcCredentials are those of the gRPC server, which also takes the gateway's calls
// through memory.
func (a *App) grpcCredentials() (credentials.TransportCredentials, error) {
	if a.certs.insiders == nil {
		return insecure.NewCredentials(), nil
	}
	config, err := a.certs.insiders.Server(a.config.clientAuth(), "h2")
	if err != nil {
		return nil, err
	}
	return exceptInMemory{credentials.NewTLS(config), insecure.NewCredentials()}, nil
}

// exceptInMemory is TLS for everyone but this process itself.
type exceptInMemory struct {
	credentials.TransportCredentials
	memory credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (e exceptInMemory) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if guard.InMemory(conn.LocalAddr()) {
		return e.memory.ServerHandshake(conn)
	}
	return e.TransportCredentials.ServerHandshake(conn)
}

// Clone implements credentials.TransportCredentials.
func (e exceptInMemory) Clone() credentials.TransportCredentials {
	return exceptInMemory{e.TransportCredentials.Clone(), e.memory.Clone()}
}

func (c Config) validateTLS() error {
	var errs []error
	for _, pair := range []struct{ name, cert, key string }{
		{"http_tls", c.HTTPTLSCertFile, c.HTTPTLSKeyFile}, {"tls", c.TLSCertFile, c.TLSKeyFile},
	} {
		if (pair.cert == "") != (pair.key == "") {
			errs = append(errs, fmt.Errorf("%s_cert_file, %s_key_file: set both, or none for plaintext", pair.name, pair.name))
		}
	}
	if c.TLSClientCAFile != "" && c.TLSCertFile == "" {
		errs = append(errs, errors.New("tls_client_ca_file: client certificates need TLS; set tls_cert_file and tls_key_file too"))
	}
	return errors.Join(errs...)
}

// exposure says why a listener may not be reached from other machines; empty if it may.
func (c Config) exposure(name string) string {
	switch {
	case name != "http_addr" && c.AccessFile == "" && c.TLSClientCAFile == "":
		return "anyone who reaches it could read every event; set tls_cert_file, tls_key_file and access_file, " +
			"so that only consumers get in that the file names, or tls_client_ca_file, so that only clients with a certificate do"
	case name != "http_addr" && c.TLSCertFile == "":
		return "tokens and events could be read on the way; set tls_cert_file and tls_key_file"
	case name == "http_addr" && c.HTTPTLSCertFile == "":
		return "callbacks could be read and changed on the way; set http_tls_cert_file and http_tls_key_file"
	case name == "http_addr":
		for _, s := range c.Sources {
			if s.AllowUnsigned {
				return fmt.Sprintf("anyone who reaches it could post events to source %q; give it access_keys and set allow_unsigned to false", s.Name)
			}
		}
	}
	return ""
}
