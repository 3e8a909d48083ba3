package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// reading is what a server under load looks like at one moment. Rates and
// latencies are of the time since the reading before.
type reading struct {
	Seconds    float64 `json:"seconds"` // since the load began
	Resident   float64 `json:"resident_mib"`
	Heap       float64 `json:"heap_mib"`
	Goroutines float64 `json:"goroutines"`
	Files      float64 `json:"open_files"`
	Disk       float64 `json:"disk_mib"`
	LogBytes   float64 `json:"log_mib"`
	Held       float64 `json:"events_held"`
	Trimmed    float64 `json:"events_trimmed"`
	Posted     float64 `json:"posted_per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	NotOK      float64 `json:"not_200"`
	Lost       float64 `json:"unanswered"`
	Behind     float64 `json:"events_behind"` // the slowest subscriber
}

// soakReport is what a soak found.
type soakReport struct {
	Bound    uint64    `json:"retention_bytes"`
	Greatest float64   `json:"greatest_rate"` // callbacks a second
	Rate     float64   `json:"rate"`          // posted a second
	Accepted uint64    `json:"answered_200"`
	NotOK    float64   `json:"not_200"`
	Lost     float64   `json:"unanswered"`
	Fewest   uint64    `json:"events_received"` // by the subscriber that received fewest
	Gaps     uint64    `json:"gaps"`            // all subscribers
	Readings []reading `json:"readings"`
}

// series is one figure over the time of a soak.
type series struct {
	name, unit string
	of         func(reading) float64
}

func soakSeries() []series {
	return []series{
		{"memory in RAM", "MiB", func(r reading) float64 { return r.Resident }},
		{"heap in use", "MiB", func(r reading) float64 { return r.Heap }},
		{"goroutines", "", func(r reading) float64 { return r.Goroutines }},
		{"open files", "", func(r reading) float64 { return r.Files }},
		{"disk", "MiB", func(r reading) float64 { return r.Disk }},
		{"log as the server tells", "MiB", func(r reading) float64 { return r.LogBytes }},
		{"events held", "", func(r reading) float64 { return r.Held }},
		{"events trimmed so far", "", func(r reading) float64 { return r.Trimmed }},
		{"callbacks answered 200", "/s", func(r reading) float64 { return r.Posted }},
		{"answered after, p50", "ms", func(r reading) float64 { return r.P50 }},
		{"answered after, p99", "ms", func(r reading) float64 { return r.P99 }},
		{"answered otherwise", "", func(r reading) float64 { return r.NotOK }},
		{"not answered", "", func(r reading) float64 { return r.Lost }},
		{"events behind, slowest subscriber", "", func(r reading) float64 { return r.Behind }},
	}
}

func valuesOf(readings []reading, of func(reading) float64) []float64 {
	values := make([]float64, len(readings))
	for i, r := range readings {
		values[i] = of(r)
	}
	return values
}

// slopeAMinute leaves the first third out, in which a server warms up.
func slopeAMinute(readings []reading, of func(reading) float64) float64 {
	warm := readings[len(readings)/3:]
	return 60 * slope(valuesOf(warm, func(r reading) float64 { return r.Seconds }), valuesOf(warm, of))
}

// rise is the last third's median ÷ the middle third's.
func rise(readings []reading, of func(reading) float64) float64 {
	return median(valuesOf(third(readings, 2), of)) / median(valuesOf(third(readings, 1), of))
}

// verdict says whether a criterion was met.
type verdict struct {
	Criterion string `json:"criterion"`
	Found     string `json:"found"`
	Met       bool   `json:"met"`
}

func (s *soakReport) verdicts() []verdict {
	atMost := func(criterion string, found, most float64) verdict {
		return verdict{criterion + ", at most " + figure(most), figure(found), found <= most}
	}
	_, disk := span(valuesOf(s.Readings, func(r reading) float64 { return r.Disk }))
	rate := median(valuesOf(s.Readings, func(r reading) float64 { return r.Posted })) / s.Rate
	return []verdict{
		atMost("memory flat: last third ÷ middle third", rise(s.Readings, func(r reading) float64 { return r.Resident }), mostRise),
		atMost("goroutines flat: last third ÷ middle third", rise(s.Readings, func(r reading) float64 { return r.Goroutines }), mostRise),
		atMost("disk bounded: greatest ÷ retention bytes", disk/mebibytes(s.Bound), mostDisk),
		{"retention trimmed in the middle and in the last third", yesOrNo(s.trimmedAllAlong()), s.trimmedAllAlong()},
		{"every callback answered 200", figure(s.NotOK) + " answered otherwise, " + figure(s.Lost) + " not", s.NotOK+s.Lost == 0},
		{"rate kept: median ÷ asked, at least 0.99", figure(rate), rate >= 0.99},
		{
			"every event received by every subscriber, without a gap",
			fmt.Sprintf("%d of %d, %d gaps", s.Fewest, s.Accepted, s.Gaps), s.Fewest >= s.Accepted && s.Gaps == 0,
		},
	}
}

// trimmedAllAlong keeps a log that never reached its bound from passing.
func (s *soakReport) trimmedAllAlong() bool {
	for _, which := range []int{1, 2} {
		part := third(s.Readings, which)
		if len(part) == 0 || part[len(part)-1].Trimmed <= part[0].Trimmed {
			return false
		}
	}
	return true
}

func (s *soakReport) write(out io.Writer) error {
	fmt.Fprintf(out, "\nsoak: %s callbacks/s, of %s that the server takes, retention at %s MiB, %d readings\n",
		figure(s.Rate), figure(s.Greatest), figure(mebibytes(s.Bound)), len(s.Readings))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tunit\tfirst third\tmiddle third\tlast third\tslope/min\tmax\tover time\t")
	for _, line := range soakSeries() {
		values := valuesOf(s.Readings, line.of)
		_, most := span(values)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", line.name, line.unit,
			figure(median(third(values, 0))), figure(median(third(values, 1))), figure(median(third(values, 2))),
			figure(slopeAMinute(s.Readings, line.of)), figure(most), sparkline(values, 30))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "thirds are medians; the slope leaves the first third out")
	for _, v := range s.verdicts() {
		fmt.Fprintf(out, "%-3s  %s: %s\n", yesOrNo(v.Met), v.Criterion, v.Found)
	}
	return nil
}

// MarshalJSON adds the verdicts.
func (s *soakReport) MarshalJSON() ([]byte, error) {
	type plain soakReport // without this method
	return json.Marshal(struct {
		Title string `json:"title"`
		*plain
		Verdicts []verdict `json:"verdicts"`
	}{"soak", (*plain)(s), s.verdicts()})
}

// sparkline draws a series from zero up, in at most so many characters.
func sparkline(values []float64, width int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	_, most := span(values)
	width = min(width, len(values))
	var line strings.Builder
	for i := range width {
		part := values[i*len(values)/width : (i+1)*len(values)/width]
		level := mean(part) / most * float64(len(levels)-1)
		if math.IsNaN(level) || level < 0 {
			level = 0
		}
		line.WriteRune(levels[int(math.Round(level))])
	}
	return line.String()
}
