// claims-to-headers: puts claims of the request's JSON Web Token into headers for the upstream.
//
// It reads the token and does not verify it: it belongs behind a plugin that does. A header that it may set is
// taken away from the client first, so that nobody can make up a claim by sending the header.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

type call struct {
	Config struct {
		// Name of the claim to name of the header.
		Claims map[string]string `json:"claims"`
	} `json:"config"`
	Request struct {
		Headers [][2]string `json:"headers"`
	} `json:"request"`
}

type edit struct {
	Headers [][]string `json:"headers"`
}

type answer struct {
	Request edit `json:"request"`
}

// Nothing runs here: the gateway calls the exports.
func main() {}

//go:wasmexport access
func access() int32 {
	var in call
	if err := json.Unmarshal(readInput(), &in); err != nil {
		return fail(err)
	}
	claims := tokenClaims(in.Request.Headers)
	var out answer
	for _, name := range sorted(in.Config.Claims) {
		header := in.Config.Claims[name]
		out.Request.Headers = append(out.Request.Headers, []string{"remove", header})
		if value, ok := text(claims[name]); ok {
			out.Request.Headers = append(out.Request.Headers, []string{"set", header, value})
		}
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		return fail(err)
	}
	outputSet(toKernel(encoded), uint64(len(encoded)))
	return 0
}

func fail(err error) int32 {
	errorSet(toKernel([]byte(err.Error())))
	return 1
}

// tokenClaims gives the claims of a bearer token; none if there is no such token.
func tokenClaims(headers [][2]string) map[string]any {
	for _, header := range headers {
		scheme, token, _ := strings.Cut(header[1], " ")
		if !strings.EqualFold(header[0], "authorization") || !strings.EqualFold(scheme, "bearer") {
			continue
		}
		parts := strings.Split(strings.TrimSpace(token), ".")
		if len(parts) != 3 {
			return nil
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		var claims map[string]any
		if err != nil || json.Unmarshal(payload, &claims) != nil {
			return nil
		}
		return claims
	}
	return nil
}

// text writes a claim as a header's value. Lists are joined by commas; objects have no such form.
func text(claim any) (string, bool) {
	switch value := claim.(type) {
	case string:
		return clean(value), true
	case bool:
		return fmt.Sprint(value), true
	case float64:
		return strings.TrimSuffix(fmt.Sprintf("%f", value), ".000000"), true
	case []any:
		var parts []string
		for _, one := range value {
			if part, ok := text(one); ok {
				parts = append(parts, part)
			}
		}
		return strings.Join(parts, ","), true
	default:
		return "", false
	}
}

// clean keeps what a header's value may hold: visible ASCII and spaces.
func clean(value string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, value)
}

func sorted(claims map[string]string) []string {
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
