// A session of an OpenID provider with go-oidc and golang.org/x/oauth2, the libraries of kube-apiserver, kubelogin, Argo CD and Dex:
// discovery, code flow with PKCE through the provider's login page, verification of the ID token, userinfo, refresh with rotation,
// and what must not work. Ends with an error that names the check.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

type claims struct {
	Email         string   `json:"email"`
	EmailVerified bool     `json:"email_verified"`
	Name          string   `json:"name"`
	Groups        []string `json:"groups"`
}

type session struct {
	provider *oidc.Provider
	config   oauth2.Config
	browser  *browser
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	issuer, client := os.Getenv("OIDC_ISSUER"), os.Getenv("OIDC_CLIENT_ID")
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	var metadata struct {
		Methods []string `json:"code_challenge_methods_supported"`
		Scopes  []string `json:"scopes_supported"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	if !slices.Contains(metadata.Methods, "S256") {
		return fmt.Errorf("discovery: S256 is not among %v", metadata.Methods)
	}
	ok("discovery names the issuer, its endpoints and PKCE with S256")
	browser, err := newBrowser(os.Getenv("OIDC_USER"), os.Getenv("OIDC_PASSWORD"))
	if err != nil {
		return err
	}
	session := session{provider: provider, browser: browser, config: oauth2.Config{
		ClientID:     client,
		ClientSecret: os.Getenv("OIDC_CLIENT_SECRET"),
		Endpoint:     provider.Endpoint(),
		RedirectURL:  os.Getenv("OIDC_REDIRECT_URI"),
		Scopes:       []string{oidc.ScopeOpenID, "profile", "email", "groups", oidc.ScopeOfflineAccess},
	}}
	token, err := session.login(ctx)
	if err != nil {
		return err
	}
	// For whoever wants to show it to an API server.
	if file := os.Getenv("OIDC_TOKEN_FILE"); file != "" {
		raw, _ := token.Extra("id_token").(string)
		return os.WriteFile(file, []byte(raw), 0o600)
	}
	if err := session.refresh(ctx, token); err != nil {
		return err
	}
	return session.refusals(ctx)
}

func ok(what string) { fmt.Println("ok", what) }

// Asks for a code as the browser that logs in; gives it with the verifier that goes with it.
func (s *session) code(nonce string) (code, verifier string, err error) {
	verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	at := s.config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))
	answer, err := s.browser.visit(at, s.config.RedirectURL)
	if err != nil {
		return "", "", err
	}
	if answer.Get("state") != state {
		return "", "", fmt.Errorf("state came back as %q", answer.Get("state"))
	}
	if answer.Get("code") == "" {
		return "", "", fmt.Errorf("no code, but %q: %s", answer.Get("error"), answer.Get("error_description"))
	}
	return answer.Get("code"), verifier, nil
}

func (s *session) verify(ctx context.Context, token *oauth2.Token) (*oidc.IDToken, claims, error) {
	var told claims
	raw, is := token.Extra("id_token").(string)
	if !is {
		return nil, told, errors.New("the answer has no id_token")
	}
	id, err := s.provider.Verifier(&oidc.Config{ClientID: s.config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, told, err
	}
	return id, told, id.Claims(&told)
}

func (s *session) login(ctx context.Context) (*oauth2.Token, error) {
	nonce := oauth2.GenerateVerifier()
	code, verifier, err := s.code(nonce)
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	ok("a login at the provider's page gives a code and the state")
	token, err := s.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, fmt.Errorf("exchange: %w", err)
	}
	id, told, err := s.verify(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	if id.Nonce != nonce {
		return nil, fmt.Errorf("nonce came back as %q", id.Nonce)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, fmt.Errorf("at_hash: %w", err)
		}
	}
	ok("the ID token verifies: signature, issuer, audience, times, nonce, at_hash")
	group := os.Getenv("OIDC_GROUP")
	if told.Email != os.Getenv("OIDC_USER") || !told.EmailVerified || told.Name == "" || !slices.Contains(told.Groups, group) {
		return nil, fmt.Errorf("claims: %+v", told)
	}
	ok("it has email, email_verified, name and groups")
	info, err := s.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	if info.Subject != id.Subject || info.Email != told.Email || !info.EmailVerified {
		return nil, fmt.Errorf("userinfo is about %q, the ID token about %q", info.Subject, id.Subject)
	}
	ok("userinfo is about the same person")
	_, err = s.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err := refused(err, "invalid_grant"); err != nil {
		return nil, fmt.Errorf("code twice: %w", err)
	}
	ok("a code is good once")
	// The second use may have ended what came of the first (RFC 6749, 4.1.2), so what follows has a login of its own.
	code, verifier, err = s.code(oauth2.GenerateVerifier())
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	return s.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
}

func (s *session) refresh(ctx context.Context, token *oauth2.Token) error {
	first, before, err := s.verify(ctx, token)
	if err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	once := &oauth2.Token{RefreshToken: token.RefreshToken}
	if once.RefreshToken == "" {
		return errors.New("offline_access gave no refresh token")
	}
	seen := []string{once.RefreshToken}
	for range 2 {
		token, err = s.config.TokenSource(ctx, once).Token()
		if err != nil {
			return fmt.Errorf("refresh: %w", err)
		}
		if token.RefreshToken == "" || slices.Contains(seen, token.RefreshToken) {
			return errors.New("refresh: the refresh token was not rotated")
		}
		id, told, err := s.verify(ctx, token)
		if err != nil {
			return fmt.Errorf("refreshed ID token: %w", err)
		}
		if id.Subject != first.Subject || told.Email != before.Email || !slices.Equal(told.Groups, before.Groups) {
			return fmt.Errorf("refresh: %+v became %+v", before, told)
		}
		once = &oauth2.Token{RefreshToken: token.RefreshToken}
		seen = append(seen, token.RefreshToken)
	}
	ok("refreshing gives the same person, and each time another refresh token")
	_, err = s.config.TokenSource(ctx, &oauth2.Token{RefreshToken: seen[0]}).Token()
	if err := refused(err, "invalid_grant"); err != nil {
		return fmt.Errorf("old refresh token: %w", err)
	}
	ok("a refresh token of two rotations ago is refused")
	return nil
}

// What no provider may let pass.
func (s *session) refusals(ctx context.Context) error {
	code, _, err := s.code(oauth2.GenerateVerifier())
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	_, err = s.config.Exchange(ctx, code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
	if err := refused(err, "invalid_grant"); err != nil {
		return fmt.Errorf("another verifier: %w", err)
	}
	ok("a code is of no use without the verifier it was asked for with")
	other := s.config
	other.RedirectURL = "https://attacker.example/callback"
	at := other.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
	answer, err := s.browser.client.Get(at)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode < 400 || answer.Header.Get("Location") != "" {
		return fmt.Errorf("another redirect URI: answered with %s to %q", answer.Status, answer.Header.Get("Location"))
	}
	ok("an unknown redirect URI is refused, and nobody is sent there")
	_, err = s.provider.UserInfo(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "made-up", TokenType: "Bearer"}))
	if err == nil {
		return errors.New("userinfo answers a token that was made up")
	}
	ok("userinfo refuses a token that was made up")
	return nil
}

func refused(err error, code string) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return fmt.Errorf("expected %s, got %w", code, errors.Join(err, errors.New("and no refusal")))
	}
	if answer.ErrorCode != code || answer.Response.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("expected 400 %s, got %s %s", code, answer.Response.Status, answer.ErrorCode)
	}
	return nil
}

// What a redirect carries.
func parameters(location string) (url.Values, error) {
	at, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	if strings.Contains(location, "#") {
		return nil, fmt.Errorf("an answer in the fragment: %s", location)
	}
	return at.Query(), nil
}
