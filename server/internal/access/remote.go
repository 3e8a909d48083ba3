package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fetchEvery is how often keys are fetched: a key that is withdrawn is out of use
	// after it.
	fetchEvery = 5 * time.Minute
	// fetchRest is the least time between two fetches, whatever callers send: strangers
	// who name keys that do not exist must not have this server flood the issuer.
	fetchRest    = 10 * time.Second
	fetchTimeout = 5 * time.Second
	maxKeysBytes = 1 << 20
)

// remoteKeys are keys at a URL, of which those fetched last are in use. It is a
// keySource.
type remoteKeys struct {
	url     string
	current atomic.Pointer[keySet] // nil before the first
	demand  chan struct{}          // holds one token when a caller waits for a fetch

	mu       sync.Mutex    // guards the rest
	begun    time.Time     // of the last fetch; zero before the first
	failed   bool          // the last fetch
	underWay chan struct{} // closed when the fetch ends that is under way or demanded; else nil
}

func newRemoteKeys(url string) *remoteKeys {
	return &remoteKeys{url: url, demand: make(chan struct{}, 1)}
}

func (r *remoteKeys) known() keySet {
	if set := r.current.Load(); set != nil {
		return *set
	}
	return nil
}

// find fetches once more for an id that is not known, unless that was done just
// before: the issuer may have a new key.
func (r *remoteKeys) find(ctx context.Context, id string) ([]jwtKey, error) {
	if found := r.known().withID(id); len(found) > 0 {
		return found, nil
	}
	if !r.fresh(ctx) {
		return nil, fmt.Errorf("%w: the keys of the JWT's issuer cannot be fetched", ErrUnavailable)
	}
	return r.known().withID(id), nil
}

// has reports true while it is not known.
func (r *remoteKeys) has(thumbprint string) bool {
	set := r.known()
	return set == nil || set.has(thumbprint)
}

// fresh reports whether the keys are those that the issuer has now, give or take
// fetchRest. It waits for a fetch if there is one to wait for.
func (r *remoteKeys) fresh(ctx context.Context) bool {
	r.mu.Lock()
	if r.underWay == nil {
		if !r.begun.IsZero() && time.Since(r.begun) < fetchRest {
			defer r.mu.Unlock()
			return !r.failed
		}
		r.underWay = make(chan struct{})
		r.demand <- struct{}{} // there is none, as none is under way
	}
	done := r.underWay
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, 2*fetchTimeout)
	defer cancel()
	select {
	case <-done:
		r.mu.Lock()
		defer r.mu.Unlock()
		return !r.failed
	case <-ctx.Done():
		return false
	}
}

// wait is how long until the next fetch is due.
func (r *remoteKeys) wait() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.begun.IsZero():
		return 0
	case r.failed:
		return max(0, fetchRest-time.Since(r.begun))
	default:
		return max(0, fetchEvery-time.Since(r.begun))
	}
}

// begin is called before a fetch, end after it. Nobody else fetches meanwhile.
func (r *remoteKeys) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay == nil {
		r.underWay = make(chan struct{})
	}
	select {
	case <-r.demand: // this one is it
	default:
	}
	r.begun = time.Now()
}

// end reports whether the last fetch failed too.
func (r *remoteKeys) end(err error) (failedBefore bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	failedBefore, r.failed = r.failed, err != nil
	close(r.underWay)
	r.underWay = nil
	return failedBefore
}

// followKeys fetches the keys of the rules in use, if they have a URL.
func (p *Policy) followKeys(ctx context.Context) {
	for ctx.Err() == nil {
		remote := p.rules.Load().remoteKeys()
		if remote == nil {
			select {
			case <-ctx.Done():
			case <-p.newRules:
			}
			continue
		}
		timer := time.NewTimer(remote.wait())
		select {
		case <-ctx.Done():
		case <-p.newRules:
		case <-remote.demand:
			p.fetch(ctx, remote)
		case <-timer.C:
			p.fetch(ctx, remote)
		}
		timer.Stop()
	}
}

func (p *Policy) fetch(ctx context.Context, r *remoteKeys) {
	r.begin()
	fetched, err := p.getKeys(ctx, r.url)
	changed := err == nil && !fetched.equal(r.known())
	if changed {
		r.current.Store(&fetched)
	}
	failedBefore := r.end(err)
	p.metrics.fetched(err)
	if changed {
		p.changed()
	}
	logger := p.config.Logger.With(slog.String("host", hostOf(r.url)))
	switch {
	case err != nil && ctx.Err() == nil && !failedBefore:
		logger.Error("the keys of JWTs cannot be fetched; those fetched before stay in use, and it is tried again every 10 s", "error", err)
	case changed || err == nil && failedBefore:
		logger.Info("the keys of JWTs were fetched", "keys", len(fetched), "changed", changed)
	}
}

// getKeys follows no redirect: what is behind it was not configured.
func (p *Policy) getKeys(ctx context.Context, address string) (keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	response, err := p.client.Do(request)
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err // without the URL, which may have a key in its query
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %d; want 200, and no redirect", response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxKeysBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(data) > maxKeysBytes:
		return nil, fmt.Errorf("answered more than %d bytes", maxKeysBytes)
	default:
		return parseKeys(data)
	}
}

// keysClient is the client that keys are fetched with.
func keysClient(given *http.Client) *http.Client {
	var client http.Client
	if given != nil {
		client = *given
	} else if transport, ok := http.DefaultTransport.(*http.Transport); ok {
		transport = transport.Clone()
		transport.DisableKeepAlives = true // minutes pass between two
		client.Transport = transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Host
	}
	return ""
}
