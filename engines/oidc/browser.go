package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// Follows redirects and fills in forms until the provider sends it back to the client.
type browser struct {
	client         *http.Client
	user, password string
}

func newBrowser(user, password string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{client: &http.Client{Jar: jar, CheckRedirect: stay}, user: user, password: password}, nil
}

// The parameters with which the provider sends the browser to the client.
func (b *browser) visit(at, back string) (url.Values, error) {
	answer, err := b.client.Get(at)
	for range 12 {
		if err != nil {
			return nil, err
		}
		here := answer.Request.URL
		if location := answer.Header.Get("Location"); location != "" && answer.StatusCode < 400 {
			answer.Body.Close()
			next, err := here.Parse(location)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(next.String(), back+"?") {
				return parameters(next.String())
			}
			answer, err = b.client.Get(next.String())
			if err != nil {
				return nil, err
			}
			continue
		}
		page, err2 := html.Parse(answer.Body)
		answer.Body.Close()
		if err2 != nil {
			return nil, err2
		}
		action, fields := b.form(page)
		if action == nil {
			return nil, fmt.Errorf("%s answers %s, without a form", here.Path, answer.Status)
		}
		next, err2 := here.Parse(*action)
		if err2 != nil {
			return nil, err2
		}
		answer, err = b.client.PostForm(next.String(), fields)
	}
	return nil, errors.New("the provider never sends the browser back")
}

// The first form of a page with its fields: names and passwords filled in, the others as they are.
func (b *browser) form(page *html.Node) (*string, url.Values) {
	form := find(page, func(node *html.Node) bool { return node.Data == "form" && attribute(node, "method") != "" })
	if form == nil {
		return nil, nil
	}
	fields := url.Values{}
	find(form, func(node *html.Node) bool {
		name := attribute(node, "name")
		if node.Data == "input" && name != "" {
			switch attribute(node, "type") {
			case "password":
				fields.Set(name, b.password)
			case "text", "email", "":
				fields.Set(name, b.user)
			case "checkbox", "radio":
			default:
				fields.Set(name, attribute(node, "value"))
			}
		}
		return false
	})
	action := attribute(form, "action")
	return &action, fields
}

func find(node *html.Node, is func(*html.Node) bool) *html.Node {
	if node.Type == html.ElementNode && is(node) {
		return node
	}
	for child := range node.ChildNodes() {
		if found := find(child, is); found != nil {
			return found
		}
	}
	return nil
}

func attribute(node *html.Node, name string) string {
	for _, one := range node.Attr {
		if one.Key == name {
			return one.Val
		}
	}
	return ""
}
