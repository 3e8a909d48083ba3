package webhook

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// defaultBurst is how many seconds' worth a source may post at once.
const defaultBurst = 10

// allowance is how many callbacks a source may still post. Only what is authentic
// uses it up: whoever has no key cannot spend it for those who have.
type allowance struct {
	limiter *rate.Limiter // nil is without bound
}

func newAllowance(perSecond, burst int) allowance {
	if perSecond == 0 {
		return allowance{}
	}
	if burst == 0 {
		burst = defaultBurst * perSecond
	}
	return allowance{rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// check refuses a callback while nothing is left, before its body is read.
func (a allowance) check(now time.Time) *refusal {
	if a.limiter == nil || a.limiter.TokensAt(now) >= 1 {
		return nil
	}
	return a.refuse(now)
}

// spend takes an authentic callback off the allowance.
func (a allowance) spend(now time.Time) *refusal {
	if a.limiter == nil || a.limiter.AllowN(now, 1) {
		return nil
	}
	return a.refuse(now)
}

func (a allowance) refuse(now time.Time) *refusal {
	perSecond := float64(a.limiter.Limit())
	seconds := math.Ceil((1 - a.limiter.TokensAt(now)) / perSecond)
	return &refusal{
		status: http.StatusTooManyRequests, outcome: outcomeRateLimited, reason: "RATE_LIMITED",
		message:    fmt.Sprintf("the source posts more than %.0f callbacks a second: send it again later, or raise source_rate or source_burst", perSecond),
		retryAfter: max(1, int(seconds)),
	}
}
