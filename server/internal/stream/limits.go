package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
)

// Defaults of Config.
const (
	DefaultMaxStreams          = 20_000
	DefaultMaxStreamsPerCaller = 10_000
)

// ageJitter is the part of a stream's greatest age by which it may be more or less:
// streams that began together do not end together.
const ageJitter = 0.1

// admission counts the streams that are open, in all and of each caller.
type admission struct {
	all, each int

	mu   sync.Mutex // guards fields below it
	open int
	by   map[account]int
}

// account is whom streams are counted for: one of the two.
type account struct{ name, machine string }

func newAdmission(all, each int) *admission {
	return &admission{all: all, each: each, by: make(map[account]int)}
}

// quota is how many streams a caller may have open.
func (a *admission) quota(caller access.Caller) int {
	if caller.Grant.MaxStreams > 0 {
		return caller.Grant.MaxStreams
	}
	return a.each
}

// enter counts a stream until leave is called, or refuses it. One of a consumer with a
// quota is counted for that consumer, wherever it calls from, any other one for the
// machine that it comes from.
func (a *admission) enter(ctx context.Context, caller access.Caller) (leave func(), err error) {
	key, limit := account{name: caller.Name}, a.quota(caller)
	if caller.Name == "" || caller.Grant.MaxStreams <= 0 {
		key = account{machine: machineOf(ctx)}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.by[key] >= limit:
		return nil, apierror.WithMetadata(codes.ResourceExhausted, reasonStreamLimit,
			fmt.Sprintf("this caller has %d streams open, which is the most it may have; end one first, "+
				"or have one subscription take what several do: a request takes up to %d filters", a.by[key], maxFilters),
			map[string]string{"limit": strconv.Itoa(limit)})
	case a.open >= a.all:
		return nil, apierror.WithMetadata(codes.Unavailable, reasonOverloaded,
			fmt.Sprintf("the server has %d streams open, which is the most it serves; call again, or another replica", a.all), nil,
			&errdetails.RetryInfo{RetryDelay: durationpb.New(unavailableRetryDelay)})
	}
	a.open++
	a.by[key]++
	return func() { a.leave(key) }, nil
}

func (a *admission) leave(key account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	if a.by[key]--; a.by[key] == 0 {
		delete(a.by, key)
	}
}

// machineOf is the address that a call comes from, without a port.
func machineOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}

// ageOf is how old one stream may get.
func ageOf(limit time.Duration) time.Duration {
	return limit + time.Duration((2*rand.Float64()-1)*ageJitter*float64(limit)) //nolint:gosec // no secret
}
