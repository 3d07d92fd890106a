/* The numbers under the pointer, or at the place that the arrow keys lead to (page.c carries it into every page). All that it shows stands in
   the tables below the curves too. A curve's points are read from its path: x from 0 to 2000, y from 0 to 1000, downwards. */
(function () {
  'use strict';
  var tip = document.getElementById('tip');

  function show(v) {
    return Math.abs(v) >= 1e4 && Math.abs(v) < 1e9 ? Math.round(v).toLocaleString('en') : String(+v.toPrecision(4));
  }

  function readCurve(group) {
    var numbers = group.querySelector('.mean').getAttribute('d').match(/-?\d+/g).map(Number), points = [];
    for (var i = 0; i + 1 < numbers.length; i += 2) points.push([numbers[i], numbers[i + 1]]);
    return { name: group.dataset.name, points: points };
  }

  function nearest(points, x) {
    return points.reduce(function (a, b) { return Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a; });
  }

  document.querySelectorAll('.plot>svg').forEach(function (svg) {
    var d = svg.dataset, x0 = +d.x0, x1 = +d.x1, y0 = +d.y0, y1 = +d.y1, at = 1;
    var curves = [].map.call(svg.querySelectorAll('g'), readCurve);
    var cursor = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    cursor.setAttribute('class', 'change');

    function valueAt(y) {
      var t = 1 - y / 1000;
      return +d.log ? y0 * Math.pow(y1 / y0, t) : y0 + t * (y1 - y0);
    }

    function point(share, left, top) {
      at = Math.max(0, Math.min(1, share));
      var found = curves.map(function (c) { return { name: c.name, point: nearest(c.points, at * 2000) }; });
      var x = nearest(found.map(function (f) { return f.point; }), at * 2000)[0], box = svg.getBoundingClientRect();
      var lines = found.filter(function (f) { return Math.abs(f.point[0] - x) < 20; }).map(function (f) {
        return (f.name ? f.name + '  ' : '') + show(valueAt(f.point[1]));
      });
      cursor.setAttribute('d', 'M' + x + ' 0V1000');
      svg.appendChild(cursor);
      tip.textContent = 'step ' + Math.round(x0 + x / 2000 * (x1 - x0)).toLocaleString('en') + '\n' + lines.join('\n');
      tip.hidden = false;
      var px = left === undefined ? box.left + box.width * x / 2000 : left, py = top === undefined ? box.top : top;
      tip.style.left = Math.max(4, Math.min(innerWidth - tip.offsetWidth - 4, px + 14)) + 'px';
      tip.style.top = Math.max(4, py - tip.offsetHeight - 10) + 'px';
    }

    function leave() {
      tip.hidden = true;
      cursor.remove();
    }

    svg.addEventListener('pointermove', function (e) {
      var box = svg.getBoundingClientRect();
      point((e.clientX - box.left) / box.width, e.clientX, e.clientY);
    });
    svg.addEventListener('pointerleave', leave);
    svg.addEventListener('blur', leave);
    svg.addEventListener('keydown', function (e) {
      var way = e.key === 'ArrowLeft' ? -1 : e.key === 'ArrowRight' ? 1 : 0;
      if (!way) return;
      point(at + way / 100);
      e.preventDefault();
    });
  });
})();
