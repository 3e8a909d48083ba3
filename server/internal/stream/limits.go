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
	by   map[string]int
}

func newAdmission(all, each int) *admission {
	return &admission{all: all, each: each, by: make(map[string]int)}
}

// enter counts a stream until leave is called, or refuses it.
func (a *admission) enter(caller string) (leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.by[caller] >= a.each:
		return nil, statusError(codes.ResourceExhausted, reasonStreamLimit,
			fmt.Sprintf("this caller has %d streams open, which is the most it may have; end one first, "+
				"or have one subscription take what several do: a request takes up to %d filters", a.each, maxFilters),
			map[string]string{"limit": strconv.Itoa(a.each)})
	case a.open >= a.all:
		return nil, statusError(codes.Unavailable, reasonOverloaded,
			fmt.Sprintf("the server has %d streams open, which is the most it serves; call again, or another replica", a.all), nil,
			&errdetails.RetryInfo{RetryDelay: durationpb.New(unavailableRetryDelay)})
	}
	a.open++
	a.by[caller]++
	return func() { a.leave(caller) }, nil
}

func (a *admission) leave(caller string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	if a.by[caller]--; a.by[caller] == 0 {
		delete(a.by, caller)
	}
}

// callerOf is whom a call's streams are counted for: the machine it comes from.
func callerOf(ctx context.Context) string {
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
