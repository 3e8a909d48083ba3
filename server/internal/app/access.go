package app

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// openAccess loads who is let in, and follows the file until the server closes: one
// that cannot be used ends the start.
func (a *App) openAccess() error {
	a.policy = access.Everyone()
	if a.config.AccessFile != "" {
		var err error
		if a.policy, err = access.Open(access.Config{
			File:       a.config.AccessFile,
			Logger:     a.logger.With("component", "access"),
			Registerer: a.registry,
		}); err != nil {
			return fmt.Errorf("access_file: %w", err)
		}
	}
	a.inBackground("stop following the access file", a.policy.Run)
	a.guard = guard.New(guard.Config{
		Policy:         a.policy,
		OwnMachineOnly: a.config.asksNobody() && !a.config.InsecureListen,
		Draining:       a.draining,
		Admitted:       a.trustCaller,
	})
	return nil
}

// asksNobody reports whether whoever reaches api_addr and grpc_addr is let in.
func (c Config) asksNobody() bool { return c.AccessFile == "" && c.TLSClientCAFile == "" }

func (c Config) validateOrigins() error {
	var errs []error
	for _, origin := range c.CORSOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			errs = append(errs, fmt.Errorf("cors_origins: %q is not an origin; write each as scheme://host or scheme://host:port, "+
				"as browsers do: for all of them at once there is no word", origin))
		}
	}
	return errors.Join(errs...)
}
