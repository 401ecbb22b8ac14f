// Tierwise: page views, clicks on [data-tierwise], forms. Before tierwise.consent(true) nothing is sent or stored.
(function (window, document) {
  var script = document.currentScript, url = new URL("/v1/browser?key=" + script.dataset.key, script.src).href
  var known = /(?:^|; )tierwise_id=([\w-]+)/.exec(document.cookie), id = known && known[1], queue = []
  function uuid() {
    return crypto.getRandomValues(new Uint32Array(4)).join("-")
  }
  function flush() {
    if (!id || !queue.length) return
    var body = JSON.stringify({ sent_at: new Date(), anonymous_id: id, interactions: queue.splice(0) })
    if (!(navigator.sendBeacon && navigator.sendBeacon(url, body))) fetch(url, { method: "POST", body: body, keepalive: true })
  }
  function track(type, properties) {
    queue.push({ id: uuid(), time: new Date(), channel: "web", type: type, properties: properties })
    if (queue.length > 99) queue.shift()
    setTimeout(flush, 99)
  }
  function page() {
    var properties = { path: location.pathname, title: document.title, referrer: document.referrer }
    new URLSearchParams(location.search).forEach(function (value, name) {
      if (/^utm_/.test(name)) properties[name] = value
    })
    track("page_view", properties)
  }
  function cookie(value, age) {
    document.cookie = "tierwise_id=" + value + ";path=/;samesite=lax;max-age=" + age
  }
  window.tierwise = {
    track: track,
    consent: function (given) {
      if (given) cookie((id = id || uuid()), 31536e3), flush()
      else (id = null), (queue = []), cookie("", 0)
    }
  }
  document.addEventListener("click", function (event) {
    var marked = event.target.closest("[data-tierwise]")
    if (marked) track("click", { element: marked.dataset.tierwise, path: location.pathname })
  })
  document.addEventListener("submit", function (event) {
    track("form_submitted", { form: event.target.getAttribute("name") || event.target.id, path: location.pathname })
  }, true)
  addEventListener("pagehide", flush)
  var push = history.pushState
  history.pushState = function () {
    push.apply(history, arguments)
    page()
  }
  addEventListener("popstate", page)
  page()
})(window, document)
