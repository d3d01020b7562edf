// What is wrong with the page as it is shown: where it is too wide, what is unlabelled, what is hard to read.
() => {
  const layout = () => {
    const found = [];
    const root = document.scrollingElement;
    if (root.scrollWidth > root.clientWidth + 1) {
      const wide = [...document.querySelectorAll('body *')].filter(one => {
        const box = one.getBoundingClientRect();
        return box.right > root.clientWidth + 1 && box.width && !one.closest('.scroll, .skip');
      });
      found.push(`the page scrolls sideways: ${wide.slice(0, 3).map(one => one.outerHTML.slice(0, 80)).join(' | ')}`);
    }
    const ids = [...document.querySelectorAll('[id]')].map(one => one.id);
    for (const id of new Set(ids)) if (ids.filter(one => one === id).length > 1) found.push(`id ${id} twice`);
    if (!document.documentElement.lang) found.push('no language');
    if (document.querySelectorAll('main').length !== 1) found.push('not one main');
    for (const cell of document.querySelectorAll('th:not([scope])')) found.push(`th without scope: ${cell.textContent}`);
    return found;
  };

  const contrast = () => {
    const numbers = colour => {
      const parts = colour.match(/[\d.]+/g).map(Number);
      const scale = colour.startsWith('color(srgb') ? 255 : 1;
      return [parts[0] * scale, parts[1] * scale, parts[2] * scale, parts.length > 3 ? parts[3] : 1];
    };
    const over = (top, below) => [0, 1, 2].map(at => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
    const light = colour => {
      const [r, g, b] = colour.slice(0, 3).map(part => {
        const value = part / 255;
        return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = one => {
      const layers = [];
      for (let at = one; at; at = at.parentElement) {
        const colour = numbers(getComputedStyle(at).backgroundColor);
        if (colour[3] > 0) layers.push(colour);
        if (colour[3] === 1) break;
      }
      return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const found = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const one = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || !one.checkVisibility({ opacityProperty: true })) continue;
      if (one.closest('option, [disabled]')) continue;
      const box = one.getBoundingClientRect();
      if (!box.width || box.right < 0) continue;
      const style = getComputedStyle(one);
      const below = ground(one);
      const pair = [light(over(numbers(style.color), below)), light(below)].sort((a, b) => b - a);
      const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) {
        const words = walker.currentNode.textContent.trim().slice(0, 40);
        found.add(`contrast ${ratio.toFixed(2)}: "${words}" in ${style.color}`);
      }
    }
    return [...found];
  };

  return [...layout(), ...contrast()];
}
