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

	gatehouse "gatehouse.example/sdk/go"
)

type config struct {
	// Name of the claim to name of the header.
	Claims map[string]string `json:"claims"`
}

// Nothing runs here: the gateway calls the exports.
func main() {}

//go:wasmexport access
func access() int32 { return gatehouse.Run(onAccess) }

func onAccess(call *gatehouse.Call) (*gatehouse.Answer, error) {
	var config config
	if err := call.ReadConfig(&config); err != nil {
		return nil, err
	}
	claims := tokenClaims(call.Request.Headers)
	answer := gatehouse.Answer{}
	for _, name := range sorted(config.Claims) {
		header := config.Claims[name]
		answer.Request.Remove(header)
		if value, ok := text(claims[name]); ok {
			answer.Request.Set(header, value)
		}
	}
	return &answer, nil
}

// tokenClaims gives the claims of a bearer token; none if there is no such token.
func tokenClaims(headers gatehouse.Headers) map[string]any {
	for _, value := range headers.Values("authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "bearer") {
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
